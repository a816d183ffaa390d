import os
from pathlib import Path
from typing import Annotated, Literal, Self

from dotenv.parser import parse_stream
from limits import parse_many
from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

PREFIX = "TASKAPI_"

SECRETS_FOLDER = Path("/run/secrets")
"""Where Docker and Kubernetes mount secrets."""

PLACEHOLDERS = ("changeme", "change-me", "default", "example", "insecure", "password", "secret")


def _check_limits(limits: str) -> str:
    if limits:
        parse_many(limits)
    return limits


class ConfigurationError(ValueError):
    """A setting that is not usable here. The message says what would be."""


Limits = Annotated[str, AfterValidator(_check_limits)]


def weakness(key: str) -> str | None:
    """What makes a signing key guessable, if anything (RFC 7518, section 3.2; RFC 8725, 3.5)."""
    if len(key) < 32:
        return "has fewer than 32 characters"
    if len(set(key)) < 10 or key in (key + key)[1:-1]:
        return "repeats itself"
    if any(word in key.lower() for word in PLACEHOLDERS):
        return "looks like a placeholder"
    return None


class Settings(BaseSettings):
    """Everything that can be configured, from the environment, from `.env` or from secrets.

    Each field is read from the variable of its name with `TASKAPI_` before it, or from the file of
    that name in `/run/secrets`; the environment wins over `.env`, which wins over secrets. A
    `TASKAPI_` variable that names no setting is refused, so that a typo is not
    silently dropped.
    """

    model_config = {
        "env_prefix": PREFIX,
        "env_file": ".env",
        "dotenv_filtering": "match_prefix",
        "extra": "forbid",
        "frozen": True,
        "hide_input_in_errors": True,
        "secrets_dir": SECRETS_FOLDER if SECRETS_FOLDER.is_dir() else None,
        "use_attribute_docstrings": True,
    }

    database_url: str = "sqlite:///taskapi.db"
    """`sqlite:///file.db`, where a relative path starts at the working directory, or libpq's URL of
    a PostgreSQL database: `postgresql://user:password@host/name`, with several hosts if need be."""

    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Comma-separated keys for signing access tokens, at least 32 characters each: the first signs,
    all verify. Empty: with SQLite one is made at the first start and kept beside the database; with
    PostgreSQL the service refuses to start."""

    access_token_lifetime: int = Field(default=15 * 60, ge=1, le=24 * 60 * 60)
    """Seconds for which an access token is accepted."""

    refresh_token_lifetime: int = Field(default=30 * 24 * 60 * 60, ge=1, le=366 * 24 * 60 * 60)
    """Seconds for which a refresh token is accepted; each use of it starts them anew."""

    refresh_token_grace: int = Field(default=10, ge=0, le=60)
    """Seconds for which a refresh token that was used can be used again, by a client that lost the
    answer. After that, using it ends the login."""

    login_limit: Limits = "10/minute"
    """Failed logins at one account from one address, in the limits library's notation; empty for no
    limit."""

    login_account_limit: Limits = "100/hour"
    """Failed logins at one account, from anywhere."""

    login_address_limit: Limits = "100/minute"
    """Failed logins from one address, at any account."""

    registration_limit: Limits = "1000/hour"
    """Registrations from one address."""

    rate_limit_storage: str = Field(default="memory://", pattern="^(memory://$|rediss?://)")
    """Where these are counted: `memory://` for each process by itself, or `redis://host:6379/0`."""

    refuse_common_passwords: bool = False
    """Whether passwords are refused that are among the 30 000 most common ones."""

    password_hash_memory: int = Field(default=64 * 1024, ge=32, le=4 * 1024 * 1024)
    """KiB of memory that one Argon2id password hash takes."""

    password_hash_iterations: int = Field(default=3, ge=1, le=100)
    """Passes over that memory."""

    database_connections: int = Field(default=8, ge=1, le=1000)
    """Database connections that one process uses at most."""

    database_statement_timeout: int = Field(default=30, ge=0, le=24 * 60 * 60)
    """Seconds after which PostgreSQL gives a statement up; 0 for never."""

    database_transaction_pooling: bool = False
    """Whether a pooler such as PgBouncer stands before PostgreSQL in transaction mode."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated origins of web pages whose scripts may call the service; `*` for all."""

    log_format: Literal["text", "json"] = "text"
    """`text` for people, `json` (an object a line) for log collectors."""

    @field_validator("secret_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [item.strip() for item in value.split(",") if item.strip()]
        return value

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
        """The library skips them, and a setting would be dropped for a quote that is missing."""
        file = Path(str(self.model_config["env_file"]))
        if file.is_file():
            with file.open(encoding="utf-8") as stream:
                for line in parse_stream(stream):
                    if line.error and PREFIX in line.original.string:
                        raise ValueError(f"line {line.original.line} of {file} can't be read")
        return self

    @model_validator(mode="after")
    def _refuse_unknown_variables(self) -> Self:
        known = {PREFIX + name.upper() for name in type(self).model_fields}
        given = {name for name in os.environ if name.startswith(PREFIX)}
        if given - known:
            raise ValueError("no such setting: " + ", ".join(sorted(given - known)))
        return self
