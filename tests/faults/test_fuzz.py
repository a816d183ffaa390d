"""Random input to the parsers of this project is accepted or refused, and never a server error."""

import base64
import json
import re
from pathlib import Path
from urllib.parse import quote_from_bytes

import jwt
import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from hypothesis import HealthCheck, assume, example, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from starlette.requests import Request

from taskapi.exceptions import InvalidCondition, InvalidRequest, PreconditionFailed
from taskapi.http.etags import NotModified, Preconditions
from taskapi.http.idempotency import KEY_PATTERN
from taskapi.http.pagination import Cursors
from taskapi.security.access_tokens import ALGORITHM, AccessTokens, InvalidToken
from taskapi.settings import Settings
from taskapi.startup import load_settings
from tests.api import Api
from tests.faults.service import LONG
from tests.fixtures import SECRET_KEY

pytestmark = pytest.mark.database("sqlite")

fuzz = profile(
    max_examples=2000 if LONG else 100,
    deadline=None,
    derandomize=not LONG,  # a suite fails for what was changed, not by chance
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)

HEADER = st.binary(max_size=300).map(
    lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F).strip()
)
"""What HTTP lets through as the value of a header."""

CURSORS = Cursors([SECRET_KEY])
TOKENS = AccessTokens([SECRET_KEY], 900)


@fuzz
@given(st.text(max_size=300))
@example("é")
@example("=")
@example("\ud800")
def test_random_text_is_no_cursor(text: str) -> None:
    assume(text)
    with pytest.raises(InvalidRequest):
        CURSORS.decode("/tasks id", text)


@fuzz
@given(st.text(max_size=50), st.text(max_size=200), st.integers(1, 2**53 - 1), st.data())
def test_cursors_round_trip_and_resist_forgery(
    order: str, value: str, row_id: int, data: st.DataObject
) -> None:
    cursor = CURSORS.encode(order, (value, row_id))
    assert CURSORS.decode(order, cursor) == (value, row_id)
    with pytest.raises(InvalidRequest):
        CURSORS.decode(order + "x", cursor)
    with pytest.raises(InvalidRequest):
        Cursors([SECRET_KEY[::-1]]).decode(order, cursor)
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidRequest):
        CURSORS.decode(order, base64.urlsafe_b64encode(raw).decode().rstrip("="))


def conditions(name: bytes, *lines: bytes) -> Preconditions:
    headers = [(name, line) for line in lines]
    return Preconditions(Request({"type": "http", "headers": headers}))


TAG = st.integers(1, 10**6).map('"{}"'.format)
OPAQUE = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'), max_size=20
).map('"{}"'.format)


@fuzz
@given(st.lists(st.lists(st.tuples(st.sampled_from(["", "W/"]), OPAQUE | TAG))), TAG)
def test_etag_lists_span_several_header_lines(
    lists: list[list[tuple[str, str]]], current: str
) -> None:
    lines = [", ".join(weak + tag for weak, tag in line).encode("latin-1") for line in lists]
    given_tags = [tag for line in lists for tag in line]
    assume(any(lines))
    try:
        conditions(b"if-match", *lines).check_write(current)
    except PreconditionFailed:
        assert ("", current) not in given_tags
    else:
        assert ("", current) in given_tags
    try:
        conditions(b"if-none-match", *lines).check_read(current)
    except NotModified:
        assert current in {tag for _, tag in given_tags}
    else:
        assert current not in {tag for _, tag in given_tags}


@fuzz
@given(HEADER, TAG)
def test_an_unparsable_condition_prevents_the_write(line: bytes, current: str) -> None:
    assume(line != b"*" and current.encode() not in line)
    with pytest.raises((InvalidCondition, PreconditionFailed)):
        conditions(b"if-match", line).check_write(current)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
CLAIMS = ("iss", "aud", "sub", "iat", "exp", "jti", "sid", "auth_time", "nbf")


@fuzz
@given(st.dictionaries(st.sampled_from(CLAIMS), JSON | st.integers(-(2**70), 2**70).map(str)))
@example({"exp": float("inf")})
@example({"exp": 10**400})
@example({"auth_time": 2**62})
@example({"sub": "9" * 5000})
@example({"nbf": float("inf")})
def test_tokens_with_random_claims_are_read_or_refused(changes: dict[str, object]) -> None:
    """The key signs nothing like it, but another service that shares it by mistake may."""
    honest = {"iss": "taskapi", "aud": "taskapi", "sub": "1", "sid": "1", "jti": "x"}
    times = {"iat": 1_800_000_000, "exp": 4_000_000_000, "auth_time": 1_800_000_000}
    token = sign({**honest, **times, **changes})
    try:
        read = TOKENS.verify(token)
    except InvalidToken:
        return
    assert isinstance(read.user_id, int)
    assert isinstance(read.session_id, int)


def sign(claims: dict[str, object]) -> str:
    """As PyJWT does, but whatever the claims are."""
    payload = json.dumps(claims).encode()
    return jwt.api_jws.encode(payload, SECRET_KEY, ALGORITHM, headers={"typ": "at+jwt"})


def check(answer: Response, *statuses: int) -> None:
    assert answer.status_code in statuses, answer.text
    if answer.status_code >= 400:
        media_type = "application/json" if "error" in answer.json() else "application/problem+json"
        assert answer.headers["content-type"] == media_type


@fuzz
@given(st.sampled_from([b"", b"Bearer", b"Bearer "]), HEADER)
@example(b"Bearer ", b"a.b.c")
@example(b"Bearer ", b"....")
def test_random_authorization_headers_are_refused(
    client: TestClient, scheme: bytes, value: bytes
) -> None:
    header = scheme + value
    answer = client.get("/users/me", headers={b"Authorization": header})
    check(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer ")


@fuzz
@given(HEADER)
def test_idempotency_keys_are_accepted_or_refused(anna: Api, key: bytes) -> None:
    headers = {b"Idempotency-Key": key, b"Authorization": f"Bearer {anna.token}".encode()}
    first, second = (
        anna.client.post("/tasks", json={"title": "x"}, headers=headers) for _ in range(2)
    )
    check(first, 201, 422)
    fits = 1 <= len(key) <= 255 and re.fullmatch(KEY_PATTERN, key.decode("latin-1"))
    assert (first.status_code == 201) == bool(fits)
    assert first.status_code == second.status_code
    assert (first.content == second.content) == bool(fits)  # problems have the request's id


NAMES = st.sampled_from(["grant_type", "username", "password", "refresh_token", "token", "scope"])
VALUES = st.sampled_from([b"password", b"refresh_token"]) | st.binary(max_size=40)


@fuzz
@given(st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=6), st.binary(max_size=20))
def test_random_forms_are_oauth2_errors(
    client: TestClient, fields: list[tuple[str, bytes, bool]], rest: bytes
) -> None:
    body = b"&".join(
        name.encode() + b"=" + (quote_from_bytes(value).encode() if quoted else value)
        for name, value, quoted in fields
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/auth/token", content=body + rest, headers=headers)
    check(answer, 400, 429)
    assert answer.json()["error"]
    check(client.post("/auth/revoke", content=body + rest, headers=headers), 200, 400)


LINE = st.characters(codec="utf-8", exclude_characters="\r\n")


def encode_badly(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


@fuzz
@given(st.binary(max_size=200) | st.text(max_size=200).map(encode_badly))
@example(b"TASKAPI_LOG_FORMAT=json\0")
@example(b"TASKAPI_DATABASE_URL='${TASKAPI_DATABASE_URL}'")
@example(b"TASKAPI_CORS_ORIGINS=[")
def test_random_env_files_are_read_or_refused(content: bytes) -> None:
    Path(".env").write_bytes(content)
    try:
        load_settings()
    except SystemExit as refusal:
        reason = str(refusal)
    else:
        reason = "taskapi can't start: no reason"
    assert reason.startswith("taskapi can't start: ")


@fuzz
@given(st.from_regex(r"[a-z]{1,10}", fullmatch=True), st.text(LINE, max_size=50))
def test_unknown_names_in_the_env_file_are_refused(name: str, value: str) -> None:
    assume(name not in Settings.model_fields)
    Path(".env").write_text(f"TASKAPI_{name.upper()}='{value}'\n")
    with pytest.raises(SystemExit, match="can't start"):
        load_settings()
