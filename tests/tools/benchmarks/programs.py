"""What the servers run with: an interpreter and its packages, or a program built from Go."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.requirements import require_path, require_programs
from tests.server import ROOT

PYTHON = "{}.{}".format(*sys.version_info)
UV = os.environ.get("UV", "uv")
GOPATH = Path("/usr/share/gocode")
"""Where Debian's packages put the source of Go's libraries."""
GO_LIBRARIES = {
    "golang-github-golang-jwt-jwt-dev": "github.com/golang-jwt/jwt",
    "golang-github-mattn-go-sqlite3-dev": "github.com/mattn/go-sqlite3",
    "golang-golang-x-crypto-dev": "golang.org/x/crypto/argon2",
}


def launcher(source: Path | None, folder: Path) -> Sequence[str]:
    """Return what a command begins with, after installing its packages or building it in `folder`.

    Without a source it is the interpreter of `project_environment`.
    """
    if source is None:
        return project_python(), "-m"
    if source.suffix == ".go":
        return (_build(source, folder / source.stem),)
    return _install(source), "-m"


@cache
def project_environment() -> Path:
    """Install the packages that the image has. What tests need would take time and memory too:
    PyJWT imports `cryptography` if it is there.
    """
    folder = Path(sys.prefix) / "benchmarks"
    command = [UV, "sync", "--quiet", "--no-dev", "--all-extras", "--python", PYTHON]
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return folder


def project_python() -> str:
    return str(project_environment() / "bin/python")


def project_packages() -> str:
    return sysconfig.get_path("purelib", vars={"base": str(project_environment())})


def _install(script: Path) -> str:
    """Return the Python that has the packages that a script names (PEP 723)."""
    command = [UV, "sync", "--quiet", "--script", str(script), "--python", PYTHON]
    subprocess.run(command, check=True)
    find = [UV, "python", "find", "--script", str(script)]
    return subprocess.run(find, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _build(source: Path, program: Path) -> str:
    install = f"apt-get install gcc golang-go {' '.join(GO_LIBRARIES)}"
    require_programs("go", "gcc", install=install)
    for library in GO_LIBRARIES.values():
        require_path(GOPATH / "src" / library, install)
    environment = {**os.environ, "GOPATH": str(GOPATH), "GO111MODULE": "off"}
    command = ["go", "build", "-o", str(program), str(source)]
    subprocess.run(command, env=environment, check=True)
    return str(program)
