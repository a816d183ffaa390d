"""The forms and responses of the OAuth 2.0 endpoints."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    GetJsonSchemaHandler,
    SecretStr,
    StringConstraints,
    TypeAdapter,
)
from pydantic_core import CoreSchema, core_schema
from sqlmodel import SQLModel

from taskapi.models import DocstringMixin, NamedEnum, NonBlankStr, check_encodable

# As in the examples of users' schemas.
EMAIL = "anna@example.com"
PASSWORD = "correct horse battery staple"  # noqa: S105 -- an example
REFRESH_TOKEN = "Zb3zRk1yVQ.Xo9JqT4m"  # noqa: S105 -- an example

SITE = "https://tasks.example.com"
Url = Annotated[str, Field(max_length=2000, json_schema_extra={"format": "uri"})]


class GrantType(NamedEnum):
    PASSWORD = "password"  # noqa: S105 -- a kind of grant, not a secret
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 -- a kind of grant, not a secret


class _Member:
    """Describes a constant as a member of `GrantType`.

    Generators that merge the forms of the grants would otherwise keep only one of the constants.
    """

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        constant = handler(schema)["const"]
        # Of a schema inside another one, the handler makes a reference.
        enumeration = core_schema.chain_schema([TypeAdapter(GrantType).core_schema])
        return {**handler(enumeration), "const": constant}


class PasswordGrant(DocstringMixin, SQLModel):
    """An access token request with a password (RFC 6749, section 4.3.2).

    Other parameters, such as `scope` and `client_id`, are ignored (section 3.2).
    """

    model_config = {"use_attribute_docstrings": True}

    grant_type: Annotated[Literal[GrantType.PASSWORD], _Member()] = Field(
        examples=[GrantType.PASSWORD]
    )
    """Always `password`."""
    username: Annotated[NonBlankStr, StringConstraints(max_length=254), Field(examples=[EMAIL])]
    """The e-mail."""
    password: Annotated[
        SecretStr,
        Field(min_length=1, max_length=128, examples=[PASSWORD]),
        AfterValidator(check_encodable),
    ]
    """The password of the account."""


class RefreshGrant(DocstringMixin, SQLModel):
    """An access token request with a refresh token (RFC 6749, section 6)."""

    model_config = {"use_attribute_docstrings": True}

    grant_type: Annotated[Literal[GrantType.REFRESH_TOKEN], _Member()] = Field(
        examples=[GrantType.REFRESH_TOKEN]
    )
    """Always `refresh_token`."""
    refresh_token: Annotated[
        SecretStr,
        Field(min_length=1, max_length=200, examples=[REFRESH_TOKEN]),
        AfterValidator(check_encodable),
    ]
    """The newest refresh token of the session. The response replaces it."""


class Revocation(DocstringMixin, SQLModel):
    """A revocation request (RFC 7009, section 2.1). `token_type_hint` is ignored."""

    model_config = {"use_attribute_docstrings": True}

    token: Annotated[
        SecretStr,
        Field(min_length=1, max_length=4000, examples=[REFRESH_TOKEN]),
        AfterValidator(check_encodable),
    ]
    """An access token or a refresh token."""


class TokenResponse(DocstringMixin, SQLModel):
    """A successful response of the token endpoint (RFC 6749, section 5.1)."""

    model_config = {"use_attribute_docstrings": True}

    access_token: str = Field(
        max_length=4000, pattern=r"^[\w-]+\.[\w-]+\.[\w-]+$", examples=["eyJh.eyJp.Kv2w"]
    )
    """Send it as `Authorization: Bearer …`."""
    token_type: Literal["bearer"] = Field(examples=["bearer"])
    """Always `bearer` (RFC 6750)."""
    expires_in: int = Field(ge=1, le=24 * 60 * 60, examples=[900])
    """Seconds until the access token expires."""
    refresh_token: str = Field(
        max_length=200, pattern=r"^[\w-]+\.[\w-]+$", examples=[REFRESH_TOKEN]
    )
    """Exchange it for the next tokens. It is accepted once."""


class AuthorizationServer(DocstringMixin, SQLModel):
    """Authorization server metadata (RFC 8414, section 2)."""

    model_config = {"use_attribute_docstrings": True}

    issuer: Url = Field(examples=[SITE])
    """The address of the service, as the client sees it."""
    token_endpoint: Url = Field(examples=[f"{SITE}/auth/token"])
    """The address of `POST /auth/token`."""
    revocation_endpoint: Url = Field(examples=[f"{SITE}/auth/revoke"])
    """The address of `POST /auth/revoke`."""
    service_documentation: Url = Field(examples=[f"{SITE}/docs"])
    """The address of the documentation page."""
    grant_types_supported: list[GrantType] = Field(max_length=2, examples=[list(GrantType)])
    """The grants of the token endpoint."""
    response_types_supported: list[Literal["none"]] = Field(max_length=0, examples=[[]])
    """Empty, because there is no authorization endpoint."""
    token_endpoint_auth_methods_supported: list[Literal["none"]] = Field(
        max_length=1, examples=[["none"]]
    )
    """Clients do not authenticate."""
    revocation_endpoint_auth_methods_supported: list[Literal["none"]] = Field(
        max_length=1, examples=[["none"]]
    )
    """Clients do not authenticate."""
