"""What the servers run with: an interpreter and its packages, or a program built from Go."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.requirements import require_path, require_programs

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

    Without a source it is this project's interpreter.
    """
    if source is None:
        return sys.executable, "-m"
    if source.suffix == ".go":
        return (_build(source, folder / source.stem),)
    return _install(source), "-m"


def _install(script: Path) -> str:
    """Return the Python that has the packages that a script names (PEP 723)."""
    version = "{}.{}".format(*sys.version_info)
    command = [UV, "sync", "--quiet", "--script", str(script), "--python", version]
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
