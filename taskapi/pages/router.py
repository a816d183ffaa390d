import json
from functools import cache, lru_cache
from importlib.resources import files
from mimetypes import guess_type
from pathlib import Path

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.responses import RedirectResponse

from taskapi.exceptions import PROBLEMS, NotFound
from taskapi.pages.content import Content
from taskapi.pages.negotiation import choose_language
from taskapi.pages.problems import LANGUAGES, STATIC, index_page, problem_page

router = APIRouter(include_in_schema=False)

SWAGGER_UI = Path(str(files("fastapi_swagger.resources")))

PAGE = STATIC / "docs.html"
ASSETS = {
    path.name: path
    for path in (
        STATIC / "docs.css",
        STATIC / "docs.js",
        STATIC / "problems.css",
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


@router.get("/problems/")
async def go_to_problems(request: Request) -> RedirectResponse:
    return RedirectResponse(_root_path(request) + "/problems")


@router.get("/problems")
async def show_problems(request: Request) -> Response:
    return index_page(choose_language(request, LANGUAGES)).respond(request)


@router.get("/problems/{slug}")
async def show_problem(request: Request, slug: str) -> Response:
    if slug not in PROBLEMS:
        raise NotFound("There is no such problem type.")
    return problem_page(slug, choose_language(request, LANGUAGES)).respond(request)


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
