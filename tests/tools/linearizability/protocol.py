"""The operations on an account as HTTP requests, and the answers as the model writes them."""

import asyncio
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import jwt

from tests.api import PASSWORD
from tests.tools.linearizability.accounts import (
    Account,
    AccountOperation,
    ChangeEmail,
    ChangeName,
    ChangePassword,
    DeleteAccount,
    EndOtherSessions,
    EndSession,
    InSession,
    ListSessions,
    LogIn,
    ReadAccount,
    Refresh,
    Revoke,
    Task,
)
from tests.tools.linearizability.checker import Answer
from tests.tools.linearizability.tasks import (
    CreateTask,
    DeleteTask,
    DescribeTask,
    ListTasks,
    MoveTask,
    OnTask,
    ReadTask,
    ReplaceTask,
)
from tests.waiting import HANG

FORGED = -1
"""The number of a refresh token that is not the successor which others were given."""

REQUESTS: Mapping[type[InSession], tuple[str, str, tuple[str, ...]]] = {
    ListSessions: ("GET", "/auth/sessions?limit=100", ()),
    EndSession: ("DELETE", "/auth/sessions/{session_id}", ()),
    EndOtherSessions: ("DELETE", "/auth/sessions", ()),
    ReadAccount: ("GET", "/users/me", ()),
    ChangePassword: ("PATCH", "/users/{user_id}", ("password",)),
    ChangeEmail: ("PATCH", "/users/{user_id}", ("email",)),
    ChangeName: ("PATCH", "/users/{user_id}", ("name",)),
    DeleteAccount: ("DELETE", "/users/{user_id}", ()),
    ListTasks: ("GET", "/tasks?limit=100&total=true", ()),
    CreateTask: ("POST", "/tasks", ("title",)),
    ReadTask: ("GET", "/tasks/{task_id}", ()),
    ReplaceTask: ("PUT", "/tasks/{task_id}", ("title", "description", "status")),
    DescribeTask: ("PATCH", "/tasks/{task_id}", ("description",)),
    MoveTask: ("PATCH", "/tasks/{task_id}", ("status",)),
    DeleteTask: ("DELETE", "/tasks/{task_id}", ()),
}
"""Method, path, and the operation's fields that are the body."""

HEADERS = {
    "match": ("If-Match", '"{}"'),
    "none_match": ("If-None-Match", '"{}"'),
    "key": ("Idempotency-Key", "{}"),
}
"""The operation's fields that are headers, unless they are 0 or empty."""


@dataclass
class Tokens:
    """What the clients know of a session."""

    access_token: str
    refresh_tokens: list[str]

    @property
    def session_id(self) -> int:
        claims = jwt.decode(self.access_token, options={"verify_signature": False})
        return int(claims["sid"])


@dataclass
class Known:
    """What the clients know of the account; they tell each other."""

    user_id: int
    sessions: dict[int, Tokens] = field(default_factory=dict)
    task_ids: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    """The last that was seen of each task."""

    def ids(self, operation: InSession) -> dict[str, int]:
        """Return those in the operation's path."""
        ids = {"user_id": self.user_id}
        if isinstance(operation, EndSession):
            ids["session_id"] = self.sessions[operation.ended].session_id
        if isinstance(operation, OnTask):
            ids["task_id"] = self.task_ids[operation.title]
        return ids

    def title(self, content: Mapping[str, Any]) -> str:
        """Return the title of a task, which no second one has."""
        title, task_id = content["title"], content["id"]
        first = self.task_ids.setdefault(title, task_id)
        return str(title) if task_id == first else f"{title}, with the id {task_id}"


async def register(client: httpx2.AsyncClient, email: str) -> tuple[Account, Known]:
    """Register with the address, or a similar one if a registration was not answered."""
    async with asyncio.timeout(HANG):
        while True:
            user = {"name": "Anna", "email": email, "password": PASSWORD}
            response = await client.post("/users", json=user)
            if response.status_code == 201:
                return Account(email, PASSWORD), Known(response.json()["id"])
            email = f"again.{email}"


async def send(
    client: httpx2.AsyncClient, known: Known, operation: AccountOperation
) -> httpx2.Response:
    if isinstance(operation, LogIn):
        form = {
            "grant_type": "password",
            "username": operation.email,
            "password": operation.password,
        }
        agent = {"User-Agent": str(operation.session)}
        return await client.post("/auth/token", data=form, headers=agent)
    tokens = known.sessions[operation.session]
    if isinstance(operation, Refresh):
        token = tokens.refresh_tokens[operation.token]
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return await client.post("/auth/token", data=form)
    if isinstance(operation, Revoke):
        return await client.post("/auth/revoke", data={"token": tokens.refresh_tokens[-1]})
    method, path, names = REQUESTS[type(operation)]
    headers = {"Authorization": f"Bearer {tokens.access_token}", **_headers(operation)}
    path = path.format_map(known.ids(operation))
    body = {name: getattr(operation, name) for name in names}
    return await client.request(method, path, json=body or None, headers=headers)


def _headers(operation: InSession) -> dict[str, str]:
    return {
        header: form.format(value)
        for name, (header, form) in HEADERS.items()
        if (value := getattr(operation, name, None))
    }


def read(known: Known, operation: AccountOperation, response: httpx2.Response) -> Answer:
    """Return the answer, and remember what it tells."""
    status = response.status_code
    if status == 304:
        return status, _version(response)
    if status in {200, 201} and response.content:
        return status, _read_content(known, operation, response)
    return status, None


def _version(response: httpx2.Response) -> int:
    return int(response.headers["ETag"].strip('"'))


def _read_content(known: Known, operation: AccountOperation, response: httpx2.Response) -> Hashable:
    content = response.json()
    match operation:
        case LogIn() | Refresh():
            return _read_tokens(known, operation, content)
        case ListSessions():
            return frozenset(int(session["client"]) for session in content)
        case ListTasks():
            tasks = ((known.title(task), task["description"], task["status"]) for task in content)
            return int(response.headers["X-Total-Count"]), tuple(sorted(tasks))
        case CreateTask() | OnTask():
            title, version = known.title(content), _version(response)
            known.versions[title] = version
            return Task(title, content["description"], content["status"], version)
    return content["name"], content["email"]


def _read_tokens(known: Known, operation: LogIn | Refresh, content: dict[str, str]) -> int:
    """Return the number of the refresh token."""
    access_token, refresh_token = content["access_token"], content["refresh_token"]
    if isinstance(operation, LogIn):
        known.sessions[operation.session] = Tokens(access_token, [refresh_token])
        return 0
    number = operation.token + 1
    refresh_tokens = known.sessions[operation.session].refresh_tokens
    if number == len(refresh_tokens):
        refresh_tokens.append(refresh_token)
    return number if refresh_tokens[number] == refresh_token else FORGED
