"""The service with a fault that a power failure shows: `FAULT` names the fault."""

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

from taskapi.database.sqlite import TimeoutConnection
from taskapi.main import app

__all__ = ["app"]

execute = TimeoutConnection.execute


def execute_unsafely(self: TimeoutConnection, sql: str, parameters: Any = ()) -> Any:
    unsafe = f"synchronous={os.environ['FAULT']}"
    return execute(self, sql.replace("synchronous=FULL", unsafe), parameters)


def publish_unsafely(draft: Path, path: Path) -> None:
    os.link(draft, path)
    draft.unlink()


if os.environ["FAULT"] == "key":
    patch("taskapi.security.keys.publish", publish_unsafely).start()
else:
    patch.object(TimeoutConnection, "execute", execute_unsafely).start()
