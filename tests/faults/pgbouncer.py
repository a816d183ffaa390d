"""PgBouncer in transaction mode, which hands each transaction to another server connection."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.requirements import require_programs
from tests.waiting import HANG, wait_until

CONFIGURATION = """
[databases]
* = host={sockets} user=postgres
[pgbouncer]
pool_mode = transaction
default_pool_size = 3
auth_type = any
listen_addr =
unix_socket_dir = {folder}
"""


@contextmanager
def run_pgbouncer(url: str) -> Iterator[str]:
    """Yields the URL of the same database through the pooler."""
    require_programs("pgbouncer", install="apt-get install pgbouncer")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    file = folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(sockets=url.rpartition("?host=")[2], folder=folder))
    command = ["pgbouncer", "--quiet", str(file)]
    process = subprocess.Popen(command, user="nobody" if os.geteuid() == 0 else None)
    pooled = f"{url.partition('?')[0].replace('//postgres@', '//someone@')}?host={folder}&port=6432"
    try:
        wait_until((folder / ".s.PGSQL.6432").exists)
        yield pooled
    finally:
        process.terminate()
        process.wait(HANG)
        shutil.rmtree(folder)
