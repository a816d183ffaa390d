"""The application for the tests of failures: `taskapi.main:app` with another `QUEUE_TIMEOUT`.

A request that waits for 10 seconds because the machine is busy would otherwise be answered 503.
"""

import os

from taskapi.database import core, timeouts

for module in (core, timeouts):
    vars(module)["QUEUE_TIMEOUT"] = float(os.environ["QUEUE_TIMEOUT"])

from taskapi.main import app  # noqa: E402 -- other modules copy the value when they are imported

__all__ = ["app"]
