import json
from functools import cache, lru_cache
from html import escape
from importlib.resources import files
from mimetypes import guess_type
from pathlib import Path

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from taskapi.exceptions import PROBLEMS, NotFound
from taskapi.http.problem_details import example
from taskapi.pages.content import HEADERS, Content

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parents[1] / "static"
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


@router.get("/")
@router.get("/docs/")
async def go_to_docs(request: Request) -> RedirectResponse:
    return RedirectResponse(_root_path(request) + "/docs")


@router.get("/docs")
async def show_docs(request: Request) -> Response:
    """Serve Swagger UI. All its files come from this server, and the policy allows no others."""
    return (await to_thread.run_sync(_load, PAGE)).respond(request)


@router.get("/docs/{name}")
async def read_asset(request: Request, name: str) -> Response:
    if name not in ASSETS:
        raise NotFound("There is no such file.")
    return (await to_thread.run_sync(_load, ASSETS[name])).respond(request)


@router.get("/openapi.json")
async def read_openapi(request: Request) -> Response:
    return _openapi(request.app, _root_path(request)).respond(request)


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


def _root_path(request: Request) -> str:
    root_path: str = request.scope.get("root_path", "")
    return root_path.rstrip("/")


@cache
def _load(path: Path) -> Content:
    return Content(path.read_bytes(), guess_type(path)[0])


@lru_cache(maxsize=1)  # a process serves one application under one path
def _openapi(app: FastAPI, root_path: str) -> Content:
    document = app.openapi()
    if root_path:
        document = document | {"servers": [{"url": root_path}, *document["servers"]]}
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return Content(body.encode(), "application/json")
