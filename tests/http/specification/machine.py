"""Sends random requests to the service, and compares each answer with the model's."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import jwt
from fastapi.testclient import TestClient
from httpx2 import Response
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule

from tests.api import check_problem, refresh, request_token
from tests.clock import Clock
from tests.http.specification.model import (
    ACCESS_TOKEN_LIFETIME,
    AccessToken,
    Condition,
    Fields,
    Key,
    Model,
    Page,
    Refused,
    Resource,
    Search,
)
from tests.shared import SharedDatabase

NOTHING: Any = multiple()
"""Adds nothing to a bundle."""


@dataclass(frozen=True)
class Login:
    """The tokens of one answer of the token endpoint."""

    access: AccessToken
    number: int
    """Of the refresh token in its session."""
    access_token: str
    refresh_token: str


@dataclass(frozen=True)
class Next:
    """The link to a next page, and what the model is asked for there."""

    url: str
    read: Callable[[AccessToken, Key | None], Page]
    after: Key


class StillClock(Clock):
    """Stands still, so that what happens at one moment has the same time."""

    def now(self, zone: object) -> datetime:
        assert zone is UTC
        return self.moment


LOGINS, USERS = Bundle[Login]("logins"), Bundle[int]("users")
TASKS, PAGES = Bundle[int]("tasks"), Bundle[Next]("pages")

PASSWORDS = st.sampled_from(["correct horse", "battery staple"])
EMAILS = st.sampled_from(["anna@example.com", "ANNA@example.com", "boris@example.com"])
NAMES = st.sampled_from(["Anna", "Борис"])
TITLES = st.sampled_from(["Мёд", "мед", "Buy 100%", "buy_milk"])
DESCRIPTIONS = st.sampled_from(["", "Buy it", "Мёд и молоко"])
STATUSES = st.sampled_from(["новая", "в процессе", "завершена"])
USER = {"name": NAMES, "email": EMAILS}
DETAILS = {"description": DESCRIPTIONS, "status": STATUSES}
TASK = {"title": TITLES, **DETAILS}
LIMITS = st.integers(1, 3)
CONDITIONS = st.none() | st.tuples(
    st.sampled_from(["If-Match", "If-None-Match"]), st.sampled_from([0, 0, 1, None])
)
"""The header, and how many versions ago the resource had the tag; None is for `*`."""


class Machine(RuleBasedStateMachine):
    requests = 0
    """Of all machines."""

    def __init__(self, client: TestClient, database: SharedDatabase, clock: Clock) -> None:
        super().__init__()
        database.delete()
        clock.moment = Clock().moment
        self.client = client
        self.clock = clock
        self.model = Model(clock.moment)
        self.agrees = True

    def send(self, login: Login, method: str, path: str, **options: Any) -> Response:
        headers = {"Authorization": f"Bearer {login.access_token}", **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)

    def compare(self, response: Response, status: int, operation: Callable[[], Any]) -> Any:
        """Return what the model returns, or None if it refuses the request."""
        type(self).requests += 1
        self.agrees = False
        try:
            expected = operation()
        except Refused as refused:
            expected, status = None, refused.status
            if refused.slug:
                check_problem(response, status, refused.slug)
        except AssertionError as error:
            error.add_note(response.text)
            raise
        assert response.status_code == status, response.text
        if isinstance(expected, Resource):
            assert (response.json(), response.headers["ETag"]) == (expected.fields, expected.etag)
        if isinstance(expected, Page):
            assert response.json() == expected.items
            assert ("Link" in response.headers) == (expected.last is not None)
            assert int(response.headers.get("X-Total-Count", expected.total)) == expected.total
        self.agrees = True
        return expected

    def conditional(self, drawn: Any, resource: Resource | None) -> tuple[Condition, Fields]:
        """Return the condition, and the headers with it."""
        header, age = drawn or ("If-Match", None)
        version = resource.version if resource else 1
        condition = Condition(header, "*" if age is None else f'"{version - age}"')
        return condition, dict([condition]) if drawn else {}

    # Accounts and sessions

    @rule(target=USERS, new=st.fixed_dictionaries({**USER, "password": PASSWORDS}))
    def register(self, new: Fields) -> Any:
        response = self.client.post("/users", json=new)
        user = self.compare(response, 201, lambda: self.model.register(new, response.json().get("id", 0)))
        return user.fields["id"] if user else NOTHING

    @initialize(target=LOGINS, new=st.fixed_dictionaries({**USER, "password": PASSWORDS}))
    def begin(self, new: Fields) -> Any:
        self.register(new)
        return self.log_in(new["email"], new["password"])

    @rule(target=LOGINS, email=EMAILS, password=PASSWORDS)
    def log_in(self, email: str, password: str) -> Any:
        response = request_token(self.client, email, password)
        login = self.login(response, 0)
        client = response.request.headers["User-Agent"]
        start = partial(self.model.log_in, email, password, client)
        return self.compare_login(login, response, start)

    @rule(target=LOGINS, login=LOGINS)
    def refresh(self, login: Login) -> Any:
        response = refresh(self.client, login.refresh_token)
        return self.compare_login(
            self.login(response, login.number + 1),
            response,
            lambda _, token: self.model.refresh(login.access.session_id, login.number, token),
        )

    def login(self, response: Response, number: int) -> Login | None:
        if response.status_code != 200:
            return None
        tokens = response.json()
        claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
        expires = self.model.now + ACCESS_TOKEN_LIFETIME
        access = AccessToken(int(claims["sid"]), expires)
        return Login(access, number, tokens["access_token"], tokens["refresh_token"])

    def compare_login(
        self, login: Login | None, response: Response, operation: Callable[[int, str], str]
    ) -> Any:
        session_id, token = (login.access.session_id, login.refresh_token) if login else (0, "")
        assert token == (self.compare(response, 200, lambda: operation(session_id, token)) or "")
        return login or NOTHING

    @rule(login=LOGINS, token=st.sampled_from(["access_token", "refresh_token"]))
    def revoke(self, login: Login, token: str) -> None:
        response = self.client.post("/auth/revoke", data={"token": getattr(login, token)})
        self.compare(response, 200, lambda: self.model.revoke(login.access.session_id))

    @rule(login=LOGINS, ended=LOGINS)
    def end_session(self, login: Login, ended: Login) -> None:
        session_id = ended.access.session_id
        response = self.send(login, "DELETE", f"/auth/sessions/{session_id}")
        self.compare(response, 204, lambda: self.model.end_session(login.access, session_id))

    @rule(login=LOGINS)
    def end_other_sessions(self, login: Login) -> None:
        response = self.send(login, "DELETE", "/auth/sessions")
        self.compare(response, 204, lambda: self.model.end_other_sessions(login.access))

    @rule(login=LOGINS, user_id=USERS | st.just("me"), drawn=CONDITIONS)
    def read_user(self, login: Login, user_id: Any, drawn: Any) -> None:
        path = f"/users/{user_id}"
        if user_id == "me":
            user_id = self.own_id(login)
        condition, headers = self.conditional(drawn, self.model.users.get(user_id))
        response = self.send(login, "GET", path, headers=headers)
        self.compare(
            response, 200, lambda: self.model.read_user(login.access, user_id, condition)
        )

    def own_id(self, login: Login) -> int:
        session = self.model.sessions.get(login.access.session_id)
        return session.user_id if session else 1

    @rule(
        login=LOGINS,
        user_id=USERS | st.none(),
        changes=st.fixed_dictionaries(USER, optional={"password": PASSWORDS}).map(
            lambda fields: ("PUT", fields)
        )
        | st.fixed_dictionaries({}, optional={**USER, "password": PASSWORDS}).map(
            lambda fields: ("PATCH", fields)
        ),
        drawn=CONDITIONS,
    )
    def change_user(
        self, login: Login, user_id: int | None, changes: tuple[str, Fields], drawn: Any
    ) -> None:
        """None is the caller's own account."""
        user_id = user_id or self.own_id(login)
        method, body = changes
        condition, headers = self.conditional(drawn, self.model.users.get(user_id))
        response = self.send(login, method, f"/users/{user_id}", json=body, headers=headers)
        self.compare(
            response, 200, lambda: self.model.change_user(login.access, user_id, body, condition)
        )

    @rule(login=LOGINS, user_id=USERS, drawn=CONDITIONS)
    def delete_user(self, login: Login, user_id: int, drawn: Any) -> None:
        condition, headers = self.conditional(drawn, self.model.users.get(user_id))
        response = self.send(login, "DELETE", f"/users/{user_id}", headers=headers)
        self.compare(response, 204, lambda: self.model.delete_user(login.access, user_id, condition))

    # Tasks

    @rule(
        target=TASKS,
        login=LOGINS,
        new=st.fixed_dictionaries({"title": TITLES}, optional=DETAILS),
        key=st.none() | st.sampled_from("ab"),
    )
    def create_task(self, login: Login, new: Fields, key: str | None) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        response = self.send(login, "POST", "/tasks", json=new, headers=headers)
        whole = {"description": "", "status": "новая", **new}
        task = self.compare(
            response,
            201,
            lambda: self.model.create_task(login.access, whole, key, response.json().get("id", 0)),
        )
        return task.fields["id"] if task else NOTHING

    @rule(login=LOGINS, task_id=TASKS, drawn=CONDITIONS)
    def read_task(self, login: Login, task_id: int, drawn: Any) -> None:
        condition, headers = self.conditional(drawn, self.model.tasks.get(task_id))
        response = self.send(login, "GET", f"/tasks/{task_id}", headers=headers)
        self.compare(
            response, 200, lambda: self.model.read_task(login.access, task_id, condition)
        )

    @rule(
        login=LOGINS,
        task_id=TASKS,
        changes=st.fixed_dictionaries(TASK).map(lambda fields: ("PUT", fields))
        | st.fixed_dictionaries({}, optional=TASK).map(lambda fields: ("PATCH", fields)),
        drawn=CONDITIONS,
    )
    def change_task(
        self, login: Login, task_id: int, changes: tuple[str, Fields], drawn: Any
    ) -> None:
        method, body = changes
        condition, headers = self.conditional(drawn, self.model.tasks.get(task_id))
        response = self.send(login, method, f"/tasks/{task_id}", json=body, headers=headers)
        self.compare(
            response, 200, lambda: self.model.change_task(login.access, task_id, body, condition)
        )

    @rule(login=LOGINS, task_id=TASKS, drawn=CONDITIONS)
    def delete_task(self, login: Login, task_id: int, drawn: Any) -> None:
        condition, headers = self.conditional(drawn, self.model.tasks.get(task_id))
        response = self.send(login, "DELETE", f"/tasks/{task_id}", headers=headers)
        self.compare(response, 204, lambda: self.model.delete_task(login.access, task_id, condition))

    # Lists

    @rule(
        target=PAGES,
        login=LOGINS,
        text=st.sampled_from(["", "", "МЕД", "buy", "%", "_"]),
        statuses=st.frozensets(STATUSES, max_size=2),
        sort=st.sampled_from(["id", "created_at", "updated_at", "title"]),
        down=st.booleans(),
        limit=LIMITS,
    )
    def list_tasks(
        self, login: Login, text: str, statuses: frozenset[str], sort: str, down: bool, limit: int
    ) -> Any:
        search = Search(text, statuses, f"-{sort}" if down else sort)
        query = {"q": text, "status": sorted(statuses), "sort": search.sort, "total": "true"}
        response = self.send(login, "GET", "/tasks", params={**query, "limit": limit})
        return self.compare_page(
            login,
            response,
            lambda access, after: self.model.list_tasks(access, search, limit, after),
        )

    @rule(target=PAGES, login=LOGINS, limit=LIMITS)
    def list_users(self, login: Login, limit: int) -> Any:
        response = self.send(login, "GET", "/users", params={"limit": limit})
        return self.compare_page(
            login, response, lambda access, after: self.model.list_users(access, limit, after)
        )

    @rule(target=PAGES, login=LOGINS, limit=LIMITS)
    def list_sessions(self, login: Login, limit: int) -> Any:
        response = self.send(login, "GET", "/auth/sessions", params={"limit": limit})
        return self.compare_page(
            login, response, lambda access, after: self.model.list_sessions(access, limit, after)
        )

    @rule(target=PAGES, login=LOGINS, page=PAGES)
    def follow(self, login: Login, page: Next) -> Any:
        """Read a next page, whoever got the link and whatever was changed since."""
        return self.compare_page(login, self.send(login, "GET", page.url), page.read, page.after)

    def compare_page(
        self,
        login: Login,
        response: Response,
        read: Callable[[AccessToken, Key | None], Page],
        after: Key | None = None,
    ) -> Any:
        page = self.compare(response, 200, lambda: read(login.access, after))
        return Next(response.links["next"]["url"], read, page.last) if page and page.last else NOTHING

    # Time

    @rule(
        seconds=st.sampled_from(
            [1] * 4 + [89, 90] * 2 + [899, 900, 901, 24 * 60 * 60, 16 * 24 * 60 * 60]
        )
    )
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)
        self.model.now = self.clock.moment

    def teardown(self) -> None:
        """Read everything, as the users themselves."""
        if not self.agrees:
            return
        for user_id, user in self.model.users.items():
            login = self.log_in(user.fields["email"], self.model.passwords[user_id])
            self.read_user(login, "me", None)
            for list_all in (self.list_users, self.list_sessions):
                list_all(login, 100)
            self.list_tasks(login, "", frozenset(), "id", False, 100)
