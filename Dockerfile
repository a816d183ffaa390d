FROM python:3.13-slim-trixie AS base
RUN groupadd --gid 10001 taskapi \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin taskapi \
    && install --directory --owner 10001 --group 10001 --mode 0750 /data /run/secrets \
    && if command -v pip; then pip uninstall --yes --root-user-action ignore pip; fi
# glibc's malloc would keep the memory of each thread apart.
ENV MALLOC_ARENA_MAX=2 \
    PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
WORKDIR /app

FROM base AS build
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ENV UV_CACHE_DIR=/uv/cache \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
RUN python3 -m venv /uv && /uv/bin/pip install --no-cache-dir uv==0.13.*
COPY pyproject.toml uv.lock ./

FROM build AS build-service
# Without the command line of FastAPI and what it alone needs, a tenth of the image.
RUN --mount=type=cache,target=/uv/cache \
    /uv/bin/uv sync --no-dev --extra opentelemetry --extra postgresql --extra redis \
    --no-install-package fastapi-cli --no-install-package markdown-it-py \
    --no-install-package mdurl --no-install-package pygments --no-install-package pyyaml \
    --no-install-package rich --no-install-package rich-toolkit \
    --no-install-package shellingham --no-install-package typer \
    --no-install-package watchfiles \
    && rm .venv/.lock

FROM build AS build-test
RUN --mount=type=cache,target=/uv/cache \
    /uv/bin/uv sync

FROM base AS test
COPY --from=build-test /app/.venv .venv
COPY . .
USER 10001:10001
ENTRYPOINT ["pytest", "--no-cov", "-o", "cache_dir=/tmp/pytest"]

FROM base AS service
COPY --from=build-service /app/.venv .venv
COPY alembic.ini ./
COPY alembic alembic
COPY taskapi taskapi
RUN python -m compileall -q alembic taskapi
USER 10001:10001
WORKDIR /data
EXPOSE 8000
# Like a restart, this is about the process; whether the database answers is what /readyz is for.
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s CMD ["python", "-c", "\
from http.client import HTTPConnection as Connection\n\
connection = Connection('127.0.0.1', 8000, timeout=2)\n\
connection.request('GET', '/livez')\n\
raise SystemExit(connection.getresponse().status != 200)"]
# Docker kills what has not stopped after 10 seconds.
CMD ["uvicorn", "taskapi.main:app", "--http", "taskapi.http.protocol:HTTPProtocol", \
     "--host", "0.0.0.0", "--no-server-header", "--timeout-graceful-shutdown", "8"]
