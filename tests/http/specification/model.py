"""The contract of the service, as a program that serves one request at a time.

Each operation returns what the service answers, or raises `Refused`. The service chooses ids and
tokens, and passes them in. Time passes between requests.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)
RECENT_LOGIN = timedelta(minutes=15)
REFRESH_GRACE = timedelta(seconds=90)
REFRESH_TOKEN_LIFETIME = timedelta(days=30)
SESSION_MAX_AGE = timedelta(days=45)
KEY_LIFETIME = timedelta(hours=24)

Fields = dict[str, Any]
"""The JSON object of a request or an answer."""
Key = tuple[Any, ...]


class Refused(Exception):
    def __init__(self, status: int, slug: str = "") -> None:
        super().__init__(status, slug)
        self.status = status
        self.slug = slug


class Condition(NamedTuple):
    """`If-Match` or `If-None-Match`, with one entity tag or `*`."""

    header: str
    tag: str

    def check(self, etag: str, *, reads: bool) -> None:
        if (self.tag in {"*", etag}) != (self.header == "If-Match"):
            raise (
                Refused(304) if reads and self.header != "If-Match" else Refused(412, PRECONDITION)
            )


PRECONDITION = "precondition-failed"
ANY = Condition("If-Match", "*")


@dataclass
class Resource:
    """A task or an account: what is shown of it, and the version in its ETag."""

    fields: Fields
    version: int = 1

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


@dataclass
class Session:
    user_id: int
    client: str
    created: datetime
    used: datetime
    refresh_tokens: list[str]
    """All that were issued; each replaced the one before."""

    @property
    def end(self) -> datetime:
        return min(self.used + REFRESH_TOKEN_LIFETIME, self.created + SESSION_MAX_AGE)


class AccessToken(NamedTuple):
    session_id: int
    expires: datetime


class Search(NamedTuple):
    """What a list of tasks is asked for."""

    text: str = ""
    statuses: frozenset[str] = frozenset()
    sort: str = "id"


@dataclass
class Page:
    """Items, the number of items on all pages, and the key of the last one if others follow."""

    items: list[Fields]
    total: int
    last: Key | None


def fold(text: str) -> str:
    return text.casefold().replace("ё", "е")


def paginate(
    items: Iterable[Fields],
    key: Callable[[Fields], Key],
    limit: int,
    after: Key | None,
    *,
    down: bool,
) -> Page:
    """A cursor is a place in the order, whether or not its item is still there."""
    ordered = sorted(items, key=key, reverse=down)
    rest = [
        item
        for item in ordered
        if after is None or (key(item) < after if down else key(item) > after)
    ]
    shown = rest[:limit]
    return Page(shown, len(ordered), key(shown[-1]) if len(rest) > limit else None)


def by_id(item: Fields) -> Key:
    return (item["id"],)


@dataclass
class Model:
    now: datetime
    users: dict[int, Resource] = field(default_factory=dict)
    passwords: dict[int, str] = field(default_factory=dict)
    sessions: dict[int, Session] = field(default_factory=dict)
    tasks: dict[int, Resource] = field(default_factory=dict)
    answers: dict[tuple[int, str], tuple[datetime, Fields, Fields]] = field(default_factory=dict)
    """When a user's idempotency key was used, in which request, and the answer."""
    newest: dict[str, int] = field(default_factory=dict)
    """The highest id of each kind; ids grow and are never used again."""

    def authenticate(self, token: AccessToken) -> int:
        """Return the id of the user."""
        if self.now >= token.expires or not self._is_live(token.session_id):
            raise Refused(401, "unauthorized")
        return self.sessions[token.session_id].user_id

    # Accounts

    def register(self, new: Fields, new_id: int) -> Resource:
        self._check_email(new["email"])
        self._check_new_id("user", new_id)
        self.passwords[new_id] = new["password"]
        user = {
            "id": new_id,
            "name": new["name"],
            "email": new["email"],
            "created_at": self._time(),
        }
        self.users[new_id] = Resource(user)
        return self.users[new_id]

    def list_users(self, token: AccessToken, limit: int, after: Key | None = None) -> Page:
        self.authenticate(token)
        users = (user.fields for user in self.users.values())
        return paginate(users, by_id, limit, after, down=False)

    def read_user(self, token: AccessToken, user_id: int, condition: Condition = ANY) -> Resource:
        self.authenticate(token)
        return self._find(self.users, user_id, condition, reads=True)

    def change_user(
        self, token: AccessToken, user_id: int, changes: Fields, condition: Condition
    ) -> Resource:
        """PUT and PATCH. A new password ends the user's other sessions."""
        user = self._find_own_user(token, user_id, condition)
        public = {name: value for name, value in changes.items() if name != "password"}
        new = user.fields | public
        if new["email"] != user.fields["email"] or "password" in changes:
            self._check_recent(token)
            self._check_email(new["email"], but=user_id)
        if "password" in changes:
            self.passwords[user_id] = changes["password"]
            self._end(user_id, keep=token.session_id)
        if new != user.fields or "password" in changes:
            user.fields, user.version = new, user.version + 1
        return user

    def delete_user(self, token: AccessToken, user_id: int, condition: Condition) -> None:
        """The tasks, sessions and keys of the user go too."""
        self._find_own_user(token, user_id, condition)
        self._check_recent(token)
        self._end(user_id)
        del self.users[user_id]
        self.tasks = {i: task for i, task in self.tasks.items() if not _belongs(task, user_id)}

    # Sessions

    def log_in(self, email: str, password: str, client: str, new_id: int, token: str) -> str:
        user_id = self._find_email(email)
        if user_id is None or self.passwords[user_id] != password:
            raise Refused(400, "invalid-grant")
        self._check_new_id("session", new_id)
        self.sessions[new_id] = Session(user_id, client, self.now, self.now, [token])
        return token

    def refresh(self, session_id: int, number: int, successor: str) -> str:
        """Exchange the refresh token of this number. Its second use gives the same successor for
        the grace period; each later one, and that of an older token, ends the session.
        """
        if not self._is_live(session_id):
            raise Refused(400, "invalid-grant")
        session = self.sessions[session_id]
        following = session.refresh_tokens[number + 1 :]
        if not following:
            session.refresh_tokens.append(successor)
            session.used = self.now
        elif len(following) > 1 or self.now - session.used >= REFRESH_GRACE:
            del self.sessions[session_id]
            raise Refused(400, "invalid-grant")
        return session.refresh_tokens[number + 1]

    def revoke(self, session_id: int) -> None:
        """By any token of the session, even one that is expired or was used."""
        self.sessions.pop(session_id, None)

    def list_sessions(self, token: AccessToken, limit: int, after: Key | None = None) -> Page:
        user_id = self.authenticate(token)
        sessions = (
            {
                "id": session_id,
                "created_at": _text(session.created),
                "last_used_at": _text(session.used),
                "expires_at": _text(session.end),
                "client": session.client,
                "current": session_id == token.session_id,
            }
            for session_id, session in self.sessions.items()
            if session.user_id == user_id and self._is_live(session_id)
        )
        return paginate(sessions, by_id, limit, after, down=False)

    def end_session(self, token: AccessToken, session_id: int) -> None:
        user_id = self.authenticate(token)
        if not self._is_live(session_id) or self.sessions[session_id].user_id != user_id:
            raise Refused(404, "not-found")
        del self.sessions[session_id]

    def end_other_sessions(self, token: AccessToken) -> None:
        self._end(self.authenticate(token), keep=token.session_id)

    # Tasks

    def create_task(
        self, token: AccessToken, new: Fields, key: str | None, new_id: int
    ) -> Resource:
        """For a day, a repeat with the same key gets the first answer, unchanged."""
        user_id = self.authenticate(token)
        if key and (user_id, key) in self.answers:
            used, request, answer = self.answers[user_id, key]
            if self.now - used < KEY_LIFETIME:
                if request != new:
                    raise Refused(422, "invalid-request")
                return Resource(answer)
        self._check_new_id("task", new_id)
        times = {"created_at": self._time(), "updated_at": self._time()}
        self.tasks[new_id] = Resource({"id": new_id, "user_id": user_id, **new, **times})
        if key:
            self.answers[user_id, key] = self.now, new, self.tasks[new_id].fields
        return self.tasks[new_id]

    def list_tasks(
        self, token: AccessToken, search: Search, limit: int, after: Key | None = None
    ) -> Page:
        user_id = self.authenticate(token)
        name = search.sort.removeprefix("-")

        def key(task: Fields) -> Key:
            return (fold(task[name]) if name == "title" else task[name], task["id"])

        found = (
            task.fields
            for task in self.tasks.values()
            if _belongs(task, user_id)
            and (not search.statuses or task.fields["status"] in search.statuses)
            and fold(search.text) in fold(f"{task.fields['title']}\n{task.fields['description']}")
        )
        return paginate(found, key, limit, after, down=search.sort.startswith("-"))

    def read_task(self, token: AccessToken, task_id: int, condition: Condition) -> Resource:
        return self._find_own_task(token, task_id, condition, reads=True)

    def change_task(
        self, token: AccessToken, task_id: int, changes: Fields, condition: Condition
    ) -> Resource:
        """PUT, with all fields, and PATCH. Without a difference, nothing changes."""
        task = self._find_own_task(token, task_id, condition)
        new = task.fields | changes
        if new != task.fields:
            task.fields, task.version = new | {"updated_at": self._time()}, task.version + 1
        return task

    def delete_task(self, token: AccessToken, task_id: int, condition: Condition) -> None:
        self._find_own_task(token, task_id, condition)
        del self.tasks[task_id]

    # What the operations have in common

    def _find(
        self, table: Mapping[int, Resource], key: int, condition: Condition, *, reads: bool = False
    ) -> Resource:
        if key not in table:
            raise Refused(404, "not-found")
        condition.check(table[key].etag, reads=reads)
        return table[key]

    def _find_own_user(self, token: AccessToken, user_id: int, condition: Condition) -> Resource:
        caller = self.authenticate(token)
        self._find(self.users, user_id, ANY)
        if user_id != caller:
            raise Refused(403, "forbidden")
        return self._find(self.users, user_id, condition)

    def _find_own_task(
        self, token: AccessToken, task_id: int, condition: Condition, *, reads: bool = False
    ) -> Resource:
        user_id = self.authenticate(token)
        own = {i: task for i, task in self.tasks.items() if _belongs(task, user_id)}
        return self._find(own, task_id, condition, reads=reads)

    def _find_email(self, email: str) -> int | None:
        """Without regard to case."""
        keys = (i for i, user in self.users.items() if fold(user.fields["email"]) == fold(email))
        return next(keys, None)

    def _check_email(self, email: str, but: int | None = None) -> None:
        if self._find_email(email) not in {None, but}:
            raise Refused(409, "email-taken")

    def _check_recent(self, token: AccessToken) -> None:
        if self.now - self.sessions[token.session_id].created > RECENT_LOGIN:
            raise Refused(401, "login-too-old")

    def _check_new_id(self, kind: str, new_id: int) -> None:
        assert new_id > self.newest.get(kind, 0), f"{new_id} is no id of a new {kind}"
        self.newest[kind] = new_id

    def _is_live(self, session_id: int) -> bool:
        return session_id in self.sessions and self.now < self.sessions[session_id].end

    def _end(self, user_id: int, keep: int | None = None) -> None:
        for session_id, session in list(self.sessions.items()):
            if session.user_id == user_id and session_id != keep:
                del self.sessions[session_id]

    def _time(self) -> str:
        return _text(self.now)


def _belongs(task: Resource, user_id: int) -> bool:
    return bool(task.fields["user_id"] == user_id)


def _text(moment: datetime) -> str:
    return f"{moment:%FT%TZ}"
