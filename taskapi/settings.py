import os
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

PREFIX = "TASKAPI_"


class Settings(BaseSettings):
    """Everything that can be configured, from the environment or from `.env`.

    Each field is read from the variable of its name with `TASKAPI_` before it; the environment wins
    over the file. A `TASKAPI_` variable that names no setting is refused, so that a typo is not
    silently dropped.
    """

    model_config = {
        "env_prefix": PREFIX,
        "env_file": ".env",
        "dotenv_filtering": "match_prefix",
        "extra": "forbid",
        "frozen": True,
        "hide_input_in_errors": True,
        "use_attribute_docstrings": True,
    }

    database_url: str = "sqlite:///taskapi.db"
    """SQLAlchemy URL of the database; a relative SQLite path starts at the working directory."""

    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Comma-separated keys for signing access tokens, at least 32 characters each: the first signs,
    all verify. Empty: with SQLite one is made at the first start and kept beside the database."""

    access_token_lifetime: int = Field(default=15 * 60, ge=1, le=24 * 60 * 60)
    """Seconds for which an access token is accepted."""

    session_lifetime: int = Field(default=30 * 24 * 60 * 60, ge=1, le=366 * 24 * 60 * 60)
    """Seconds for which a login can last."""

    password_hash_memory: int = Field(default=64 * 1024, ge=32, le=4 * 1024 * 1024)
    """KiB of memory that one Argon2id password hash takes."""

    password_hash_iterations: int = Field(default=3, ge=1, le=100)
    """Passes over that memory."""

    database_connections: int = Field(default=8, ge=1, le=1000)
    """Database connections that one process uses at most."""

    log_format: Literal["text", "json"] = "text"
    """`text` for people, `json` (an object a line) for log collectors."""

    @field_validator("secret_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [key for key in value.split(",") if key] if isinstance(value, str) else value

    @field_validator("secret_keys")
    @classmethod
    def _refuse_short_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < 32 for key in keys):
            raise ValueError("a key has fewer than 32 characters; `openssl rand -hex 32` makes one")
        return keys

    @model_validator(mode="after")
    def _refuse_unknown_variables(self) -> Self:
        known = {PREFIX + name.upper() for name in type(self).model_fields}
        given = {name for name in os.environ if name.startswith(PREFIX)}
        if given - known:
            raise ValueError("no such setting: " + ", ".join(sorted(given - known)))
        return self
