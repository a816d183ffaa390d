"""Sends random requests to the service, and compares each answer with the model's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import jwt
from fastapi.testclient import TestClient
from httpx2 import Response
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

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
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


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


PAGES = Bundle[Next]("pages")

T = TypeVar("T")

TENTHS = st.integers(0, 9)


def mostly(usual: Sequence[T], others: Sequence[T]) -> st.SearchStrategy[T]:
    """In nine of ten cases, if there is a usual one."""
    often = st.sampled_from(usual or others)
    return TENTHS.flatmap(lambda number: st.sampled_from(others) if number == 9 else often)


def callers(machine: "Machine") -> st.SearchStrategy[Login]:
    return mostly(machine.accepted, machine.logins)


def owners(machine: "Machine") -> st.SearchStrategy[tuple[Login, int]]:
    """Callers, and ids of tasks."""
    ids = range(1, machine.model.newest["task"] + 1)
    return callers(machine).flatmap(
        lambda login: st.tuples(st.just(login), mostly(machine.own_tasks(login), ids))
    )


def users(machine: "Machine") -> st.SearchStrategy[tuple[Login, int]]:
    """Callers, and ids of users."""
    ids = range(1, machine.model.newest["user"] + 1)
    return callers(machine).flatmap(
        lambda login: st.tuples(st.just(login), mostly([machine.own_id(login)], ids))
    )


CALLERS = st.runner().flatmap(callers)
OWNERS = st.runner().flatmap(owners)
CALLERS_AND_USERS = st.runner().flatmap(users)
LOGINS = st.runner().flatmap(lambda machine: mostly(machine.logins[-4:], machine.logins))

Strategies = dict[str, st.SearchStrategy[Any]]
NO_FIELDS: Strategies = {}
PASSWORDS = st.sampled_from(["correct horse", "battery staple"])
EMAILS = st.sampled_from(["anna@example.com", "ANNA@example.com", "boris@example.com"])
NAMES = st.sampled_from(["Anna", "Борис"])
TITLES = st.sampled_from(["Мёд", "мед", "Buy 100%", "buy_milk"])
DESCRIPTIONS = st.sampled_from(["", "Buy it", "Мёд и молоко"])
STATUSES = st.sampled_from(["новая", "в процессе", "завершена"])
USER: Strategies = {"name": NAMES, "email": EMAILS}
DETAILS: Strategies = {"description": DESCRIPTIONS, "status": STATUSES}
TASK: Strategies = {"title": TITLES, **DETAILS}
LIMITS = st.integers(1, 3)
CONDITION = st.tuples(
    st.sampled_from(["If-Match", "If-None-Match"]), st.sampled_from([0, 0, 1, None])
)
CONDITIONS = TENTHS.flatmap(lambda number: CONDITION if number > 6 else st.none())
"""The header, and how many versions ago the resource had the tag; None is for `*`."""

Change = tuple[str, Fields]


def changes(fields: Strategies, optional: Strategies) -> st.SearchStrategy[Change]:
    """PUT with all fields, and PATCH with some."""
    put = st.fixed_dictionaries(fields, optional=optional)
    patch = st.fixed_dictionaries(NO_FIELDS, optional=fields | optional)
    return put.map(lambda body: ("PUT", body)) | patch.map(lambda body: ("PATCH", body))


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
        self.logins: list[Login] = []

    @property
    def accepted(self) -> list[Login]:
        """Those whose access token is accepted."""
        return [login for login in self.logins if self.is_accepted(login)]

    def is_accepted(self, login: Login) -> bool:
        try:
            return bool(self.model.authenticate(login.access))
        except Refused:
            return False

    def own_id(self, login: Login) -> int:
        session = self.model.sessions.get(login.access.session_id)
        return session.user_id if session else 1

    def own_tasks(self, login: Login) -> list[int]:
        user_id = self.own_id(login)
        return [i for i, task in self.model.tasks.items() if task.fields["user_id"] == user_id]

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

    @initialize(tasks=st.lists(st.fixed_dictionaries(TASK), min_size=4, max_size=4))
    def begin(self, tasks: list[Fields]) -> None:
        for email in ("anna@example.com", "boris@example.com"):
            self.register({"name": "Anna", "email": email, "password": "correct horse"})
            for _ in range(2):
                self.log_in(email, "correct horse")
            for task in tasks[::2]:
                self.create_task(self.logins[-1], task, None)

    @invariant()
    def stay_logged_in(self) -> None:
        """Most requests are of live sessions, some of which began long ago."""
        if not self.model.users:
            self.register(
                {"name": "Anna", "email": "anna@example.com", "password": "correct horse"}
            )
        here = {self.own_id(login) for login in self.accepted}
        for user_id in self.model.users.keys() - here:
            newest = [login for login in self.logins if self.is_newest(login, user_id)]
            if newest:
                self.refresh(newest[0])
            else:
                self.log_in_as(user_id)

    def is_newest(self, login: Login, user_id: int) -> bool:
        """Whether it has a refresh token that is accepted and was not used."""
        session = self.model.sessions.get(login.access.session_id)
        return (
            session is not None
            and session.user_id == user_id
            and self.model.now < session.end
            and login.refresh_token == session.refresh_tokens[-1]
        )

    def log_in_as(self, user_id: int) -> Login:
        email = self.model.users[user_id].fields["email"]
        self.log_in(email, self.model.passwords[user_id])
        return self.logins[-1]

    # Accounts and sessions

    @rule(new=st.fixed_dictionaries({**USER, "password": PASSWORDS}))
    def register(self, new: Fields) -> None:
        response = self.client.post("/users", json=new)
        new_id = response.json().get("id", 0)
        self.compare(response, 201, lambda: self.model.register(new, new_id))

    @rule(email=EMAILS, password=PASSWORDS)
    def log_in(self, email: str, password: str) -> None:
        response = request_token(self.client, email, password)
        client = response.request.headers["User-Agent"]
        self.compare_login(
            response, 0, lambda new: self.model.log_in(email, password, client, *new)
        )

    @rule(login=LOGINS)
    def refresh(self, login: Login) -> None:
        response = refresh(self.client, login.refresh_token)
        session_id, number = login.access.session_id, login.number
        self.compare_login(
            response, number + 1, lambda new: self.model.refresh(session_id, number, new[1])
        )

    def compare_login(
        self, response: Response, number: int, operation: Callable[[tuple[int, str]], str]
    ) -> None:
        """`operation` gets the id of the session and the refresh token, and returns the latter."""
        tokens = response.json()
        if response.status_code != 200:
            self.compare(response, 200, lambda: operation((0, "")))
            return
        access_token, refresh_token = tokens["access_token"], tokens["refresh_token"]
        claims = jwt.decode(access_token, options={"verify_signature": False})
        session_id = int(claims["sid"])
        expected = self.compare(response, 200, lambda: operation((session_id, refresh_token)))
        assert refresh_token == expected
        access = AccessToken(session_id, self.model.now + ACCESS_TOKEN_LIFETIME)
        self.logins.append(Login(access, number, access_token, refresh_token))

    @rule(login=LOGINS, token=st.sampled_from(["access_token", "refresh_token"]))
    def revoke(self, login: Login, token: str) -> None:
        response = self.client.post("/auth/revoke", data={"token": getattr(login, token)})
        self.compare(response, 200, lambda: self.model.revoke(login.access.session_id))

    @rule(login=CALLERS, ended=CALLERS)
    def end_session(self, login: Login, ended: Login) -> None:
        session_id = ended.access.session_id
        response = self.send(login, "DELETE", f"/auth/sessions/{session_id}")
        self.compare(response, 204, lambda: self.model.end_session(login.access, session_id))

    @rule(login=CALLERS)
    def end_other_sessions(self, login: Login) -> None:
        response = self.send(login, "DELETE", "/auth/sessions")
        self.compare(response, 204, lambda: self.model.end_other_sessions(login.access))

    @rule(pair=CALLERS_AND_USERS, me=st.booleans(), drawn=CONDITIONS)
    def read_user(self, pair: tuple[Login, int], *, me: bool, drawn: Any) -> None:
        login, user_id = pair
        path = f"/users/{user_id}"
        if me:
            path, user_id = "/users/me", self.own_id(login)
        condition, headers = self.conditional(drawn, self.model.users.get(user_id))
        response = self.send(login, "GET", path, headers=headers)
        self.compare(response, 200, lambda: self.model.read_user(login.access, user_id, condition))

    @rule(pair=CALLERS_AND_USERS, change=changes(USER, {"password": PASSWORDS}), drawn=CONDITIONS)
    def change_user(self, pair: tuple[Login, int], change: Change, drawn: Any) -> None:
        (login, user_id), (method, body) = pair, change
        condition, headers = self.conditional(drawn, self.model.users.get(user_id))
        response = self.send(login, method, f"/users/{user_id}", json=body, headers=headers)
        self.compare(
            response, 200, lambda: self.model.change_user(login.access, user_id, body, condition)
        )

    @rule(pair=CALLERS_AND_USERS, drawn=CONDITIONS)
    def delete_user(self, pair: tuple[Login, int], drawn: Any) -> None:
        login, user_id = pair
        condition, headers = self.conditional(drawn, self.model.users.get(user_id))
        response = self.send(login, "DELETE", f"/users/{user_id}", headers=headers)
        self.compare(
            response, 204, lambda: self.model.delete_user(login.access, user_id, condition)
        )

    # Tasks

    @rule(
        login=CALLERS,
        new=st.fixed_dictionaries({"title": TITLES}, optional=DETAILS),
        key=st.sampled_from([None, "key"]),
    )
    def create_task(self, login: Login, new: Fields, key: str | None) -> None:
        headers = {"Idempotency-Key": key} if key else {}
        response = self.send(login, "POST", "/tasks", json=new, headers=headers)
        whole = {"description": "", "status": "новая", **new}
        new_id = response.json().get("id", 0)
        self.compare(
            response, 201, lambda: self.model.create_task(login.access, whole, key, new_id)
        )

    @rule(pair=OWNERS, drawn=CONDITIONS)
    def read_task(self, pair: tuple[Login, int], drawn: Any) -> None:
        login, task_id = pair
        condition, headers = self.conditional(drawn, self.model.tasks.get(task_id))
        response = self.send(login, "GET", f"/tasks/{task_id}", headers=headers)
        self.compare(response, 200, lambda: self.model.read_task(login.access, task_id, condition))

    @rule(pair=OWNERS, change=changes(TASK, NO_FIELDS), drawn=CONDITIONS)
    def change_task(self, pair: tuple[Login, int], change: Change, drawn: Any) -> None:
        (login, task_id), (method, body) = pair, change
        condition, headers = self.conditional(drawn, self.model.tasks.get(task_id))
        response = self.send(login, method, f"/tasks/{task_id}", json=body, headers=headers)
        self.compare(
            response, 200, lambda: self.model.change_task(login.access, task_id, body, condition)
        )

    @rule(pair=OWNERS, drawn=CONDITIONS)
    def delete_task(self, pair: tuple[Login, int], drawn: Any) -> None:
        login, task_id = pair
        condition, headers = self.conditional(drawn, self.model.tasks.get(task_id))
        response = self.send(login, "DELETE", f"/tasks/{task_id}", headers=headers)
        self.compare(
            response, 204, lambda: self.model.delete_task(login.access, task_id, condition)
        )

    # Lists

    @rule(
        target=PAGES,
        login=CALLERS,
        text=st.sampled_from(["", "", "МЕД", "buy", "%", "_"]),
        statuses=st.frozensets(STATUSES, max_size=2),
        sort=st.sampled_from(["id", "created_at", "updated_at", "title"]).flatmap(
            lambda name: st.sampled_from([name, f"-{name}"])
        ),
        limit=LIMITS,
    )
    def list_tasks(
        self, login: Login, text: str, statuses: frozenset[str], sort: str, limit: int
    ) -> Any:
        search = Search(text, statuses, sort)
        query = {"q": text, "status": sorted(statuses), "sort": sort, "total": "true"}
        response = self.send(login, "GET", "/tasks", params={**query, "limit": limit})
        return self.compare_page(
            login,
            response,
            lambda access, after: self.model.list_tasks(access, search, limit, after),
        )

    @rule(target=PAGES, login=CALLERS, limit=LIMITS)
    def list_users(self, login: Login, limit: int) -> Any:
        response = self.send(login, "GET", "/users", params={"limit": limit})
        return self.compare_page(
            login, response, lambda access, after: self.model.list_users(access, limit, after)
        )

    @rule(target=PAGES, login=CALLERS, limit=LIMITS)
    def list_sessions(self, login: Login, limit: int) -> Any:
        response = self.send(login, "GET", "/auth/sessions", params={"limit": limit})
        return self.compare_page(
            login, response, lambda access, after: self.model.list_sessions(access, limit, after)
        )

    @rule(target=PAGES, login=CALLERS, page=PAGES)
    def follow(self, login: Login, page: Next) -> Any:
        """Follow the link of a page that any user got before, after changes or none."""
        return self.compare_page(login, self.send(login, "GET", page.url), page.read, page.after)

    def compare_page(
        self,
        login: Login,
        response: Response,
        read: Callable[[AccessToken, Key | None], Page],
        after: Key | None = None,
    ) -> Any:
        page = self.compare(response, 200, lambda: read(login.access, after))
        return (
            Next(response.links["next"]["url"], read, page.last) if page and page.last else NOTHING
        )

    # Time

    @rule(seconds=st.sampled_from([1, 1, 89, 90, 900, 24 * 60 * 60, 16 * 24 * 60 * 60]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)
        self.model.now = self.clock.moment

    def teardown(self) -> None:
        """Read everything, as the users themselves."""
        if not self.agrees:
            return
        for user_id in self.model.users:
            login = self.log_in_as(user_id)
            self.read_user((login, user_id), me=True, drawn=None)
            for list_all in (self.list_users, self.list_sessions):
                list_all(login, 100)
            self.list_tasks(login, "", frozenset(), "id", 100)
