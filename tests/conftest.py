"""How the suite is run. The fixtures are in `tests/fixtures.py`."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until

POSTGRESQL = pytest.StashKey[Path]()

HTTP = Path(__file__).parent / "http"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=["sqlite", "postgresql", "all"],
        default="all",
        help="which databases the tests run on; all by default",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose a folder for the PostgreSQL server that all workers of this run share."""
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    folder = worker["postgresql"] if worker else tempfile.mkdtemp(prefix="taskapi-")
    config.stash[POSTGRESQL] = Path(folder)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Load the fixtures, but not in the process that only hands out tests: it takes seconds."""
    config = session.config
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", default=0):
        config.pluginmanager.import_plugin("tests.fixtures")
        import_module("taskapi.main").app.openapi()  # here it is traced


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["postgresql"] = str(node.config.stash[POSTGRESQL])


def pytest_unconfigure(config: pytest.Config) -> None:
    folder = config.stash[POSTGRESQL]
    if hasattr(config, "workerinput"):
        return
    running = folder / "data" / "postmaster.pid"
    if running.exists():
        os.kill(int(running.read_text().split()[0]), signal.SIGQUIT)  # as a crash does
        wait_until(lambda: not running.exists())
    shutil.rmtree(folder)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses a database on both systems, or on those that its marks name."""
    if "database_system" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("database")
    mark = metafunc.definition.get_closest_marker("database")
    systems = [mark.args[0]] if mark else ["sqlite", "postgresql"]
    systems = [name for name in systems if chosen in {name, "all"}]
    if metafunc.definition.get_closest_marker("one_database"):
        systems = systems[:1]
    metafunc.parametrize("database_system", systems)


def pytest_xdist_auto_num_workers() -> int:
    """One more than processors, as some tests wait for most of their time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, object, object]:
    with untraced() if HTTP in collector.path.parents else nullcontext():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    in_threads_only = HTTP in item.path.parents and "client" in getattr(item, "fixturenames", ())
    with untraced() if in_threads_only else nullcontext():
        return (yield)


@contextmanager
def untraced() -> Iterator[None]:
    """Measure coverage in other threads only, those of the service that a test uses through HTTP.

    What this thread does then takes half of the time.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
