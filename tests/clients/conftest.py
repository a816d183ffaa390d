from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.programs import MODULES
from tests.requirements import require_path, require_programs
from tests.server import serve


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "server"
    folder.mkdir()
    with serve(folder) as url:
        yield url


@pytest.fixture
def node(tmp_path: Path) -> None:
    require_programs("node", install="apt-get install nodejs npm")
    require_path(MODULES, install="npm ci, in .ci/judges")
    (tmp_path / "node_modules").symlink_to(MODULES)
