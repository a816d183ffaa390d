"""Plays the demonstration and draws its frames: `scenes.py WORKSHOP [--with-containers]`.

The workshop is a folder with `taskapi.git`, the repository to clone. Every command is typed into a
real shell and must end well, and every click happens in a real browser. Nothing waits a fixed time
for anything: the pauses are the viewer's.
"""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from docs_page import DocsPage, chromium
from film import Film
from terminal import Terminal, until, watch

API = "http://127.0.0.1:8000"
COLUMNS, ROWS, SERVER_ROWS = 121, 28, 9
KEYS_PER_SECOND = 60
CREATE_TASKS, REFUSED = "Create tasks", "Another user is refused"

SECOND_USER = r"""
curl -s -o /dev/null -w '%{http_code}\n' $API/users -H "$JSON" \
  -d '{"name": "Борис", "email": "boris@example.com", "password": "another battery staple"}'
TOKENS=$(curl -s $API/auth/token -d grant_type=password -d username=boris@example.com \
  --data-urlencode 'password=another battery staple')
curl -s -w '\n' $API/tasks/1 -H "Authorization: Bearer $(token access_token)"
"""


class Stage:
    """Two terminals, of which the server's alone is shown at first, and the film of them."""

    def __init__(self, workshop: Path) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TASKAPI_", "VIRTUAL_ENV", "PYTHON"))
        }
        environment["PATH"] = os.environ["VIEWER_PATH"]
        environment["UV_PYTHON"] = str(workshop / "python3")
        self.film = Film()
        self.server = Terminal(workshop, environment, columns=COLUMNS, rows=ROWS)
        self.client = Terminal(workshop, environment, columns=COLUMNS, rows=ROWS - SERVER_ROWS - 2)
        self.together = False

    def show(self) -> None:
        server = f"<h2>server</h2><pre>{self.server.html(SERVER_ROWS)}</pre>"
        client = f"<h2>client</h2><pre>{self.client.html(ROWS - SERVER_ROWS - 2)}</pre>"
        alone = f"<h2>terminal</h2><pre>{self.server.html(ROWS)}</pre>"
        self.film.show(server + client if self.together else alone)

    def hold(self, seconds: float) -> None:
        """Leave the viewer time to read."""
        while watch([self.server, self.client], 0.05):
            pass
        self.show()
        self.film.clock += seconds

    def wait(self, done: Callable[[], bool], *, at_most: float, give_up: float = 60) -> None:
        waiting = until(done, give_up)
        with self.film.at_most(at_most):
            before = time.monotonic()
            while waiting():
                printed = watch([self.server, self.client], 0.1)
                now = time.monotonic()
                self.film.clock += now - before
                before = now
                if printed:
                    self.show()

    def type(self, terminal: Terminal, text: str) -> None:
        for key in text:
            terminal.write(key)
            watch([terminal], 0.5)
            self.film.clock += 1 / KEYS_PER_SECOND
            self.show()

    def run(
        self, terminal: Terminal, command: str, *, at_most: float = 2, give_up: float = 60
    ) -> str:
        """Type a command and see it through; returns what it printed."""
        self.type(terminal, command)
        self.hold(0.2)
        terminal.write("\n")
        self.wait(lambda: terminal.ended() is not None, at_most=at_most, give_up=give_up)
        self.hold(0.3)
        printed = terminal.output.decode()
        if terminal.ended() != 0:
            raise RuntimeError(f"failed: {command}\n{printed}")
        return printed

    def session(self, script: str) -> str:
        """Run each command of a script; a line that ends with a backslash goes on in the next."""
        commands = re.findall(r"(?:.*\\\n)*.+", script.strip())
        return "".join(self.run(self.client, command) for command in commands)

    def clear(self, terminal: Terminal) -> None:
        terminal.write("\f")
        watch([terminal], 1)


def ready() -> bool:
    try:
        with urlopen(f"{API}/readyz", timeout=5) as answer:  # noqa: S310 -- it is http
            return bool(answer.status == 200)
    except (URLError, ConnectionError):
        return False


def demand(printed: str, *parts: str) -> None:
    for part in parts:
        if part not in printed:
            raise RuntimeError(f"{part} is missing in:\n{printed}")


def start(stage: Stage) -> None:
    stage.film.begin("From a clone to a running server", "От клона до работающего сервера")
    stage.hold(1)
    stage.run(stage.server, "git clone taskapi.git")
    stage.run(stage.server, "cd taskapi")
    stage.type(stage.server, "uv run fastapi dev\n")
    stage.wait(lambda: b"startup complete" in stage.server.output, at_most=6, give_up=300)
    stage.wait(ready, at_most=1)
    stage.hold(2.5)


def call(stage: Stage) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    session = readme.split("\n## First steps")[1].split("\n## ")[0]
    log_in, create, find, change, *_ = re.findall(r"```sh\n(.*?)```", session, re.DOTALL)
    stage.together = True
    stage.film.begin("Register and log in", "Регистрация и вход")
    stage.hold(0.8)
    demand(stage.session(log_in), '"name":"Анна"')
    stage.hold(1.5)
    stage.clear(stage.client)
    stage.film.begin(CREATE_TASKS, "Создание задач")
    demand(stage.session(create), '"title":"Купить хлеб"', '"status":"в процессе"')
    stage.hold(1.5)
    stage.film.begin("List the tasks of one status", "Список задач с одним статусом")
    demand(stage.session(find), '[{"id":1')
    stage.hold(1.5)
    stage.film.begin("Change the status; delete", "Смена статуса и удаление")
    demand(stage.session(change), '"status":"завершена"', "204")
    stage.hold(2)
    stage.clear(stage.client)
    stage.film.begin(REFUSED, "Чужая задача недоступна")
    demand(stage.session(SECOND_USER), "201", '"status":404')
    stage.hold(3)


def stop(stage: Stage) -> None:
    stage.together = False
    stage.film.begin("Stop the server", "Остановить сервер")
    stage.hold(0.5)
    stage.server.write("\x03")
    stage.wait(lambda: stage.server.ended() is not None, at_most=1)
    stage.hold(0.8)
    stage.clear(stage.server)


def contain(stage: Stage) -> None:
    stage.film.begin("In containers, on PostgreSQL", "В контейнерах, на PostgreSQL")
    stage.run(stage.server, "docker compose up --detach --scale api=3", at_most=6, give_up=900)
    stage.wait(ready, at_most=1)
    services = r"docker compose ps --format 'table {{.Name}}\t{{.Status}}'"
    demand(stage.run(stage.server, services), "taskapi-api-3")
    demand(stage.run(stage.server, rf"curl -s -w '\n' {API}/readyz"), "{")
    stage.hold(2.5)
    stage.run(stage.server, "docker compose down --volumes", at_most=3, give_up=120)
    stage.hold(1)
    stage.clear(stage.server)


def test(stage: Stage) -> None:
    stage.film.begin("One command proves it all", "Одна команда проверяет всё")
    printed = stage.run(stage.server, "uv run pytest", at_most=12, give_up=5400)
    demand(printed, " passed")
    stage.hold(4)


def play(workshop: Path, *, with_containers: bool) -> None:
    if ready():
        raise RuntimeError(f"something else answers at {API}: stop it first")
    stage = Stage(workshop)
    with chromium() as browser:
        try:
            start(stage)
            call(stage)
            DocsPage(browser, stage.film, workshop).create_a_task(f"{API}/docs")
            stop(stage)
            if with_containers:
                contain(stage)
            test(stage)
        except Exception:
            print(stage.server.text(), stage.client.text(), sep="\n----\n", file=sys.stderr)
            raise
        drawn = stage.film.develop(browser, workshop)
    print(f"{stage.film.clock:6.1f} s  the end; {drawn} different frames")
    moments = stage.film.scenes
    (workshop / "excerpt").write_text(f"{moments[CREATE_TASKS]:.2f} {moments[REFUSED]:.2f}\n")


if __name__ == "__main__":
    play(Path(sys.argv[1]), with_containers="--with-containers" in sys.argv)
