import json
from html import escape
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse

from taskapi.exceptions import PROBLEMS, NotFound
from taskapi.http.problem_details import example

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).parent / "static"
SWAGGER_UI = Path(str(files("fastapi_swagger.resources")))

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


@router.get("/")
async def go_to_docs(request: Request) -> RedirectResponse:
    return RedirectResponse(request.scope.get("root_path", "").rstrip("/") + "/docs")


@router.get("/docs")
async def show_docs() -> FileResponse:
    """Serve Swagger UI. All its files come from this server, and the policy allows no others."""
    return FileResponse(STATIC / "docs.html", headers=HEADERS)


@router.get("/docs/{name}")
async def read_asset(name: str) -> FileResponse:
    if name not in ASSETS:
        raise NotFound("There is no such file.")
    return FileResponse(ASSETS[name], headers={"Cache-Control": "no-cache"})


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
