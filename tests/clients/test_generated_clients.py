"""Clients are generated from the live document, type-checked, and used."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.programs import MODULES, SESSIONS, run
from tests.requirements import require_path, require_programs
from tests.server import ROOT, free_port, wait_until_ready
from tests.waiting import HANG

PYTHON_GENERATOR = Path(sys.executable).with_name("openapi-python-client")
GENERATOR = PYTHON_GENERATOR.with_name("openapi-generator-cli")
COMPILER = ["--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"]


def documented(fence: str, url: str) -> str:
    """The lines of docs/clients.md in this language."""
    text = (ROOT / "docs/clients.md").read_text()
    return text.split(f"```{fence}\n")[1].split("```")[0].replace("http://127.0.0.1:8000", url)


def test_a_python_client(tmp_path: Path, url: str) -> None:
    require_path(PYTHON_GENERATOR, install="uv sync --group judges")
    shutil.copy(SESSIONS / "session.py", tmp_path)
    document = f"{url}/openapi.json"
    run(tmp_path, PYTHON_GENERATOR, "generate", f"--url={document}", "--output-path=client",
        "--meta=none")  # fmt: skip
    (tmp_path / "client/py.typed").touch()
    (tmp_path / "short.py").write_text(documented("python", url))
    for session in ("session.py", "short.py"):
        run(tmp_path, sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", session)
    assert run(tmp_path, sys.executable, "session.py", url).endswith("done\n")
    run(tmp_path, sys.executable, "short.py")


def compile_and_run(folder: Path, session: str, url: str) -> None:
    (folder / "package.json").write_text(json.dumps({"type": "module"}))
    shutil.copy(SESSIONS / session, folder)
    (folder / "globals.d.ts").write_text("declare const process: { argv: string[] };")
    (folder / "short.ts").write_text(documented(f"ts {Path(session).stem}", url))
    run(folder, MODULES / ".bin/tsc", *COMPILER, session, "short.ts", "globals.d.ts")
    assert run(folder, "node", Path(session).with_suffix(".js"), url).endswith("done\n")
    run(folder, "node", "short.js")


@pytest.mark.usefixtures("node")
def test_a_typescript_client_by_openapi_fetch(tmp_path: Path, url: str) -> None:
    run(tmp_path, MODULES / ".bin/openapi-typescript", f"{url}/openapi.json", "-o", "schema.ts")
    compile_and_run(tmp_path, "fetch.ts", url)


@pytest.fixture
def judged_url(tmp_path: Path, url: str, node: None) -> Iterator[str]:  # noqa: ARG001 -- Prism needs it
    """Prism, between a client and the service. It refuses what the document does not have."""
    port = free_port()
    prism = str(MODULES / ".bin/prism")
    command = [prism, "proxy", f"{url}/openapi.json", url, "--errors", f"--port={port}"]
    with (tmp_path / "prism.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=HANG)


def test_a_typescript_client_by_hey_api(tmp_path: Path, url: str, judged_url: str) -> None:
    output = {"path": "client", "importFileExtension": ".js"}
    settings = json.dumps({"input": f"{url}/openapi.json", "output": output})
    (tmp_path / "openapi-ts.config.mjs").write_text(f"export default {settings}")
    run(tmp_path, MODULES / ".bin/openapi-ts")
    compile_and_run(tmp_path, "heyapi.ts", judged_url)


@pytest.mark.usefixtures("node")
def test_a_typescript_client_by_orval(tmp_path: Path, url: str) -> None:
    output = {"target": "client.ts", "client": "fetch", "baseUrl": url}
    settings = json.dumps({"taskapi": {"input": f"{url}/openapi.json", "output": output}})
    (tmp_path / "orval.config.mjs").write_text(f"export default {settings}")
    run(tmp_path, MODULES / ".bin/orval", "--config", "orval.config.mjs")
    compile_and_run(tmp_path, "orval.ts", url)


@pytest.mark.usefixtures("node")
def test_a_typescript_client_by_openapi_generator(tmp_path: Path, url: str) -> None:
    require_path(GENERATOR, install="uv sync --group judges")
    require_programs("java", install="apt-get install default-jdk-headless")
    run(tmp_path, GENERATOR, "generate", "-i", f"{url}/openapi.json", "-g", "typescript-fetch",
        "-o", "client", "--additional-properties=importFileExtension=.js")  # fmt: skip
    compile_and_run(tmp_path, "generator.ts", url)
