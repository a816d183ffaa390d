"""What clients ask for, and what a right answer to it is."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.tools.benchmarks import seed
from tests.tools.benchmarks.load import Call

PAGE = 20
FIELDS = {"id", "title", "description", "status", "user_id", "created_at", "updated_at"}

Operation = Callable[["Workload"], Call]


class Workload:
    """Calls by all users on their own tasks, drawn at random, the same for every server."""

    def __init__(
        self,
        tokens: Sequence[str],
        page_query: str,
        items: str | None,
        tasks: int = seed.TASKS_EACH,
    ) -> None:
        """`items` names the part of a page that has the tasks, where it is not all of it; `tasks`
        is how many of each user's tasks are asked for.
        """
        self._tokens = tokens
        self._page_path = f"/tasks?{page_query}"
        self._items = items
        self._tasks = tasks
        self._random = random.Random(1)  # noqa: S311 -- no secret
        self._sent = 0
        self.created: set[int] = set()
        """The tasks that were said to be created."""
        self.updated: dict[int, set[str]] = {}
        """The descriptions that were sent for each task that was said to be updated."""
        self._sent_updates: dict[int, set[str]] = {}

    def forget_changes(self) -> None:
        self.created.clear()
        self.updated.clear()
        self._sent_updates.clear()

    def _draw(self) -> tuple[int, int]:
        """A user, and one of the user's tasks."""
        user_id = self._random.randrange(len(self._tokens)) + 1
        return user_id, (user_id - 1) * seed.TASKS_EACH + self._random.randrange(self._tasks) + 1

    def read(self) -> Call:
        user_id, task_id = self._draw()
        expected = {"id": task_id, "title": seed.title(task_id), "user_id": user_id}

        def check(status: int, body: bytes) -> str | None:
            return _check(status, body, 200, lambda task: is_task(task, expected))

        return Call(self._request("GET", f"/tasks/{task_id}", user_id), check)

    def page(self) -> Call:
        user_id, _ = self._draw()
        first = (user_id - 1) * seed.TASKS_EACH + 1

        def is_page(answer: Any) -> bool:
            tasks = answer[self._items] if self._items else answer
            return len(tasks) == PAGE and all(
                is_task(task, {"id": first + n, "user_id": user_id}) for n, task in enumerate(tasks)
            )

        def check(status: int, body: bytes) -> str | None:
            return _check(status, body, 200, is_page)

        return Call(self._request("GET", self._page_path, user_id), check)

    def search(self) -> Call:
        """Look through all tasks of the first user for what none of them has."""
        request = self._request("GET", "/tasks?q=nowhere", 1)
        return Call(
            request, lambda status, body: _check(status, body, 200, lambda found: not found)
        )

    def create(self) -> Call:
        user_id, _ = self._draw()
        new = {"title": self._text("Позвонить"), "description": "Вечером", "status": "в процессе"}

        def is_created(task: Any) -> bool:
            self.created.add(task["id"])
            return is_task(task, new | {"user_id": user_id})

        def check(status: int, body: bytes) -> str | None:
            return _check(status, body, 201, is_created)

        return Call(self._request("POST", "/tasks", user_id, new), check)

    def update(self) -> Call:
        user_id, task_id = self._draw()
        status = self._random.choice(seed.STATUSES)
        new = {
            "title": seed.title(task_id),
            "description": self._text("Чёрный"),
            "status": status,
        }
        sent = self._sent_updates.setdefault(task_id, set())
        sent.add(new["description"])

        def is_updated(task: Any) -> bool:
            self.updated[task_id] = sent
            return is_task(task, new | {"id": task_id})

        def check(status: int, body: bytes) -> str | None:
            return _check(status, body, 200, is_updated)

        return Call(self._request("PUT", f"/tasks/{task_id}", user_id, new), check)

    def mixed(self) -> Call:
        """Eight in ten read, half of them a page; one creates, one updates."""
        kind = self._random.choices((self.read, self.page, self.create, self.update), (4, 4, 1, 1))
        return kind[0]()

    def _text(self, start: str) -> str:
        """Another one at each call."""
        self._sent += 1
        return f"{start} {self._sent}"

    def _request(self, method: str, path: str, user_id: int, body: object = None) -> bytes:
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        described = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
            f"Authorization: Bearer {self._tokens[user_id - 1]}\r\n"
            f"{described if content else ''}\r\n"
        )
        return head.encode() + content


def is_task(task: dict[str, Any], expected: dict[str, Any]) -> bool:
    return task.keys() == FIELDS and expected.items() <= task.items()


def _check(status: int, body: bytes, right: int, is_right: Callable[[Any], bool]) -> str | None:
    if status != right:
        return f"status {status}"
    try:
        return None if is_right(json.loads(body)) else "wrong answer"
    except (AttributeError, KeyError, TypeError, ValueError):  # it is of another shape altogether
        return "wrong answer"


OPERATIONS: dict[str, Operation] = {
    "read": Workload.read,
    "page": Workload.page,
    "create": Workload.create,
    "update": Workload.update,
    "mixed": Workload.mixed,
}
