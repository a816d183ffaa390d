import gzip
import hashlib
import json
import re
from functools import cache
from html import escape
from importlib.resources import files
from mimetypes import guess_type
from pathlib import Path
from typing import NamedTuple

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from taskapi.exceptions import PROBLEMS, NotFound
from taskapi.http.etags import NotModified, Preconditions
from taskapi.http.problem_details import example

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent / "static"
SWAGGER_UI = Path(str(files("fastapi_swagger.resources")))

PAGE = STATIC / "docs.html"
ASSETS = {
    path.name: path
    for path in (
        STATIC / "docs.css",
        STATIC / "docs.js",
        SWAGGER_UI / "favicon-32x32.png",
        SWAGGER_UI / "swagger-ui-bundle.js",
        SWAGGER_UI / "swagger-ui.css",
    )
}

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}

NO_GZIP = re.compile(r"q=0(\.0*)?")


class File(NamedTuple):
    compressed: bytes
    """By gzip."""
    tag: str
    """An ETag for both forms of the file: send it as a weak one."""


@cache
def _load(path: Path) -> File:
    content = path.read_bytes()
    return File(gzip.compress(content, mtime=0), f'"{hashlib.sha256(content).hexdigest()[:32]}"')


@router.get("/")
@router.get("/docs/")
async def go_to_docs(request: Request) -> RedirectResponse:
    return RedirectResponse(request.scope.get("root_path", "").rstrip("/") + "/docs")


@router.get("/docs")
async def show_docs(request: Request) -> Response:
    """Serve Swagger UI. All its files come from this server, and the policy allows no others."""
    return await _serve(request, PAGE)


@router.get("/docs/{name}")
async def read_asset(request: Request, name: str) -> Response:
    if name not in ASSETS:
        raise NotFound("There is no such file.")
    return await _serve(request, ASSETS[name])


@router.get("/problems/{slug}")
async def show_problem(slug: str) -> HTMLResponse:
    """Serve the page that a problem's `type` leads to (RFC 9457, section 3.1.1)."""
    problem = PROBLEMS.get(slug)
    if problem is None:
        raise NotFound("There is no such problem type.")
    page = f"""<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{escape(problem.title)}</title>
</head>
<body>
  <h1>{problem.status}: {escape(problem.title)}</h1>
  <h2>What happened</h2>
  <p>{escape(problem.description)}</p>
  <h2>What to do</h2>
  <p>{escape(problem.advice)}</p>
  <h2>Example</h2>
  <pre>{escape(json.dumps(example(problem), indent=2))}</pre>
</body>
</html>
"""
    return HTMLResponse(page, headers=HEADERS)


async def _serve(request: Request, path: Path) -> Response:
    """Send a file, or 304. Ranges are ignored (RFC 9110, section 14.2)."""
    file = await to_thread.run_sync(_load, path)
    headers = HEADERS | {
        "Cache-Control": "no-cache",
        "ETag": f"W/{file.tag}",
        "Vary": "Accept-Encoding",
    }
    try:
        Preconditions(request).check_read(file.tag)
    except NotModified:
        return Response(status_code=304, headers=headers)
    content = file.compressed
    if _accepts_gzip(request.headers.get("Accept-Encoding", "")):
        headers["Content-Encoding"] = "gzip"
    else:
        content = gzip.decompress(content)
    return Response(content, headers=headers, media_type=guess_type(path)[0])


def _accepts_gzip(accepted: str) -> bool:
    """Read an Accept-Encoding field (RFC 9110, section 12.5.3)."""
    weights = {}
    for item in accepted.lower().replace(" ", "").split(","):
        coding, _, weight = item.partition(";")
        weights[coding] = weight
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return not NO_GZIP.fullmatch(weight)
