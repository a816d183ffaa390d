import json
import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from dotenv.parser import parse_stream
from limits import parse_many
from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

PREFIX = "TASKAPI_"

SECRETS_FOLDER = Path("/run/secrets")
"""Where Docker and Kubernetes mount secrets."""

KUBERNETES_VARIABLE = re.compile(
    rf"{PREFIX}(\w+_)?"
    r"(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=|PORT=(tcp|udp|sctp)://).*"
)
"""What Kubernetes sets in each pod for a Service whose name is or begins with `taskapi`."""

BLANKS = "\ufeff \t\r\n"
"""What editors and shells put around a value: white space, and a byte order mark."""

DEFAULT_PORTS = {"http": 80, "https": 443}

PLACEHOLDERS = ("changeme", "change-me", "default", "example", "insecure", "password", "secret")


def _check_limits(limits: str) -> str:
    if limits:
        parse_many(limits)
    return limits


class ConfigurationError(ValueError):
    """A setting can't be used. The message says which values can."""


Limits = Annotated[str, AfterValidator(_check_limits)]


def weakness(key: str) -> str | None:
    """The reason why a signing key is guessable, or None (RFC 7518, section 3.2; RFC 8725, 3.5)."""
    if len(key) < 32:
        return "has fewer than 32 characters"
    if len(set(key)) < 10 or key in (key + key)[1:-1]:
        return "repeats itself"
    if any(word in key.lower() for word in PLACEHOLDERS):
        return "looks like a placeholder"
    return None


def normalize_origin(origin: str) -> str:
    """Return the origin as browsers send it (RFC 6454, section 6.2).

    Raises:
        ValueError: it is none, or has a path.
    """
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:  # UnicodeError is one
        host, port, parts = "", None, urlsplit("")
    named = re.fullmatch("[a-z0-9._-]+|[0-9a-f:.]+", host)
    if not named or not parts.scheme or "@" in parts.netloc or parts.path.strip("/"):
        raise ValueError(f"{origin} is no origin; it must be like https://app.example.com")
    if parts.query or parts.fragment:
        raise ValueError(f"{origin} is no origin; it must be like https://app.example.com")
    host = f"[{host}]" if ":" in host else host
    is_default = port is None or port == DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{host}" + ("" if is_default else f":{port}")


class Settings(BaseSettings):
    """The configuration, from environment variables, the file `.env` and `/run/secrets`.

    Variables and secret files are named like the fields, with the prefix `TASKAPI_`. Environment
    variables take precedence over `.env`, which takes precedence over secrets. An unknown
    `TASKAPI_` variable is an error, so that a typo is not silently ignored. Those that Kubernetes
    sets for a Service named `taskapi` are not settings.
    """

    model_config = {
        "env_prefix": PREFIX,
        "env_file": ".env",
        "env_file_encoding": "utf-8-sig",
        "dotenv_filtering": "match_prefix",
        "extra": "forbid",
        "frozen": True,
        "hide_input_in_errors": True,
        "secrets_dir": SECRETS_FOLDER if SECRETS_FOLDER.is_dir() else None,
        "use_attribute_docstrings": True,
    }

    database_url: str = "sqlite:///taskapi.db"
    """`sqlite:///file.db`, with a path relative to the working directory, or a libpq URL:
    `postgresql://user:password@host/name`, which may name several hosts."""

    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Comma-separated keys for signing access tokens, at least 32 characters each. The first signs,
    all verify. If empty, the first start with SQLite creates a key file beside the database, and
    a start with PostgreSQL fails."""

    access_token_lifetime: int = Field(default=15 * 60, ge=1, le=24 * 60 * 60)
    """Seconds for which an access token is valid."""

    refresh_token_lifetime: int = Field(default=30 * 24 * 60 * 60, ge=1, le=366 * 24 * 60 * 60)
    """Seconds without a refresh after which a session ends."""

    session_max_age: int = Field(default=0, ge=0, le=366 * 24 * 60 * 60)
    """Seconds after the login after which a session ends, however often it is refreshed; 0 for no
    limit. It applies to existing sessions too."""

    refresh_token_grace: int = Field(default=10, ge=0, le=60)
    """Seconds that a client may take to repeat a refresh of which it lost the response. The time
    that the two requests may wait for the database is added: 80 with the default timeouts. A later
    use of the old token ends the session. 0: a refresh token is accepted once."""

    login_limit: Limits = "10/minute"
    """Failed attempts to log in, per account and address together, and changes of a password, per
    account; in the limits library's notation; empty for no limit."""

    login_account_limit: Limits = "100/hour"
    """Failed attempts to log in per account, from all addresses."""

    login_address_limit: Limits = "100/minute"
    """Failed attempts to log in per address, at all accounts."""

    registration: Literal["open", "closed"] = "open"
    """Whether anyone can create an account with `POST /users`, or only the operator, with
    `python -m taskapi accounts create`."""

    registration_limit: Limits = "1000/hour"
    """Registrations per address."""

    rate_limit_storage: str = Field(default="memory://", pattern="^(memory://$|rediss?://)")
    """Where the limits are counted: `memory://`, per process, or `redis://host:6379/0`, shared."""

    refuse_common_passwords: bool = False
    """Whether to refuse the 30 000 most common passwords."""

    password_hash_memory: int = Field(default=64 * 1024, ge=32, le=4 * 1024 * 1024)
    """Memory of one Argon2id password hash, in KiB."""

    password_hash_iterations: int = Field(default=3, ge=1, le=100)
    """Passes of Argon2id over its memory."""

    password_hash_threads: int = Field(default=0, ge=0, le=1000)
    """Number of password hashes that one process computes at once. 0 means one for each processor
    that the process may use, by its affinity and its cgroup's quota."""

    database_connections: int = Field(default=8, ge=3, le=1000)
    """Maximum number of database connections per process. On PostgreSQL, one is for `/readyz`, half
    of the others, rounded down, for writes, and the rest for reads. SQLite adds one for writes and
    one for `/readyz`."""

    database_statement_timeout: int = Field(default=30, ge=0, le=24 * 60 * 60)
    """Seconds after which the database cancels a statement; 0 for no limit."""

    database_transaction_pooling: bool = False
    """Whether connections go through a pooler in transaction mode, such as PgBouncer."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated origins of web pages that may call the service (CORS), such as
    `https://app.example.com`; `*` for all."""

    log_format: Literal["text", "json"] = "text"
    """`text`, or `json` with one object per line."""

    @field_validator("secret_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [item.strip() for item in value.split(",") if item.strip()]
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _read_json(cls, value: object) -> object:
        return json.loads(value) if isinstance(value, str) and value.startswith("[") else value

    # Pydantic runs the last one of these first.
    @field_validator("*", mode="before")
    @classmethod
    def _strip(cls, value: object) -> object:
        return value.strip(BLANKS) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _normalize_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin if origin == "*" else normalize_origin(origin) for origin in origins)

    @field_validator("secret_keys")
    @classmethod
    def _refuse_weak_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in keys:
            fault = weakness(key.get_secret_value())
            if fault:
                raise ValueError(f"a key {fault}; `openssl rand -hex 32` makes a good one")
        return keys

    @model_validator(mode="after")
    def _refuse_broken_lines(self) -> Self:
        """python-dotenv skips lines that it can't parse: a missing quote would drop a setting."""
        file = Path(str(self.model_config["env_file"]))
        if file.is_file():
            with file.open(encoding="utf-8-sig") as stream:
                for line in parse_stream(stream):
                    if line.error and PREFIX in line.original.string:
                        raise ValueError(f"line {line.original.line} of {file} can't be read")
        return self

    @model_validator(mode="after")
    def _refuse_unknown_secrets(self) -> Self:
        """pydantic-settings ignores unknown names, and folders such as those that Docker makes in
        place of a missing file.
        """
        folder = self.model_config["secrets_dir"]
        known = {PREFIX.lower() + name for name in type(self).model_fields}
        for path in Path(str(folder)).iterdir() if folder else ():
            name = path.name.lower()
            if name.startswith(PREFIX.lower().rstrip("_")) and not (
                name in known and path.is_file()
            ):
                raise ValueError(f"{path} is not a file with the name of a setting")
        return self

    @model_validator(mode="after")
    def _refuse_unknown_variables(self) -> Self:
        known = {PREFIX + name.upper() for name in type(self).model_fields}
        unknown = {
            name
            for name, value in os.environ.items()
            if name.upper().startswith(PREFIX)
            and name.upper() not in known
            and not KUBERNETES_VARIABLE.fullmatch(f"{name}={value}")
        }
        if unknown:
            raise ValueError("no such setting: " + ", ".join(sorted(unknown)))
        return self
