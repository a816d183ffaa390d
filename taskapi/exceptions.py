from collections.abc import Mapping
from typing import ClassVar, Self

from taskapi.models import ErrorItem, RequestPart

PROBLEMS: dict[str, type["Problem"]] = {}
"""Every kind of problem, by its slug."""


class Problem(Exception):
    """An error that is answered as problem details (RFC 9457).

    Each kind is a subclass with a slug. `title`, `description` and `advice` are the texts of the
    page that the problem's `type` leads to.
    """

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    """What happened."""
    advice: ClassVar[str]
    """What the client can do."""
    header: ClassVar[str | None] = None
    """The response header that every problem of this kind has."""
    example: ClassVar[Mapping[str, object]] = {}
    """Example values of the members that this kind has beside those of RFC 9457."""

    def __init_subclass__(cls, *, status: int | None = None, slug: str | None = None) -> None:
        if status:
            cls.status = status
        if slug:
            cls.slug = slug
            PROBLEMS[slug] = cls

    def __init__(
        self, detail: str, *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        """`members` are added to those of RFC 9457."""
        super().__init__(detail)
        self.detail = detail
        self.headers = headers
        self.members = members


def challenge(**parameters: str | int) -> str:
    """Build the value of a WWW-Authenticate header (RFC 6750, section 3)."""
    values = {"realm": "taskapi", **parameters}
    return "Bearer " + ", ".join(
        f"{name}={value}" if isinstance(value, int) else f'{name}="{value}"'
        for name, value in values.items()
    )


class ChallengeProblem(Problem, status=401):
    """A problem that other credentials would solve."""

    header = "WWW-Authenticate"

    def __init__(self, detail: str, *, error: str | None = None, **parameters: int) -> None:
        """`error` is a code of RFC 6750 or RFC 9470. Omit it if no token was sent."""
        described = {"error": error, "error_description": detail} if error else {}
        value = challenge(**described, **parameters)
        super().__init__(detail, headers={"WWW-Authenticate": value})


class RetryableProblem(Problem):
    """A problem that time solves."""

    header = "Retry-After"

    def __init__(self, detail: str, *, retry_after: int, cause: str) -> None:
        """`retry_after` is in seconds. Metrics count the answers by their `cause`."""
        super().__init__(detail, headers={"Retry-After": str(retry_after)})
        self.cause = cause


class InvalidTokenRequest(Problem, status=400, slug="invalid-token-request"):
    title = "Invalid token request"
    description = "The form sent to the token or revocation endpoint is malformed or incomplete."
    advice = (
        "Send an `application/x-www-form-urlencoded` form with each parameter once: "
        "`grant_type=password` with `username` (the e-mail) and `password`, or "
        "`grant_type=refresh_token` with `refresh_token`. To revoke a token, send `token`."
    )


class InvalidGrant(Problem, status=400, slug="invalid-grant"):
    title = "Invalid credentials"
    description = "The e-mail, password or refresh token sent to the token endpoint is not valid."
    advice = (
        "Check the e-mail and the password; on purpose, the answer does not say which of them is "
        "wrong. If the refresh token was refused, log in with the password."
    )


class InvalidCondition(Problem, status=400, slug="invalid-condition"):
    title = "Malformed condition"
    description = "The If-Match or If-None-Match header is not a list of entity tags."
    advice = (
        'Send the `ETag` exactly as it was received, with its quotes, such as `"3"`; several '
        "separated by commas; or `*` alone."
    )


class Unauthorized(ChallengeProblem, slug="unauthorized"):
    title = "Log in first"
    description = "The request has no access token, or its access token is not valid."
    advice = "Get an access token from `POST /auth/token` and send it as `Authorization: Bearer …`."


class LoginTooOld(ChallengeProblem, slug="login-too-old"):
    title = "Log in again"
    description = (
        "The operation needs a session that was started with the password in the last 15 minutes "
        "(RFC 9470)."
    )
    advice = (
        "Ask the user for the password, log in with it, and repeat the request with the new token."
    )


class Forbidden(Problem, status=403, slug="forbidden"):
    title = "Not your account"
    description = "The account that the request would change belongs to another user."
    advice = (
        "Change or delete only the account that you are logged in with. `GET /users/me` shows it."
    )


class RegistrationClosed(Problem, status=403, slug="registration-closed"):
    title = "Registration is closed"
    description = "New accounts are created by the operator of the service."
    advice = "Ask the operator for an account, or log in to the one that you have."


class NotFound(Problem, status=404, slug="not-found"):
    title = "Not found"
    description = "There is nothing at this address, or the caller is not allowed to see it."
    advice = "Check the path and the id. Private resources are visible to their owner only."


class MethodNotAllowed(Problem, status=405, slug="method-not-allowed"):
    title = "Method not allowed"
    description = "The resource exists, but does not support this method."
    advice = "Use one of the methods in the `Allow` header."


class EmailTaken(Problem, status=409, slug="email-taken"):
    title = "E-mail already taken"
    description = "An account with this e-mail already exists. Upper and lower case are the same."
    advice = "Log in to that account, or use another e-mail."


class PreconditionFailed(Problem, status=412, slug="precondition-failed"):
    title = "Changed in the meantime"
    description = (
        "The resource is not the version that the If-Match header names, or is the one that the "
        "If-None-Match header excludes."
    )
    advice = (
        "Read the resource again, apply the change to the current version, and send its `ETag` "
        "in `If-Match`."
    )


class ContentTooLarge(Problem, status=413, slug="content-too-large"):
    title = "Content too large"
    description = "The request body is larger than the service accepts."
    advice = "Send a smaller body; `detail` says what the limit is."


class UnsupportedMediaType(Problem, status=415, slug="unsupported-media-type"):
    title = "Unsupported media type"
    description = "The Content-Type header does not declare the body as JSON."
    advice = "Send JSON with the header `Content-Type: application/json`."


class InvalidRequest(Problem, status=422, slug="invalid-request"):
    title = "Invalid request"
    description = "The path, query, headers or body are not what the operation accepts."
    advice = (
        "`errors` lists what is wrong: `in` names the part of the request, `pointer` the place in "
        "it, and `detail` the reason."
    )
    example: ClassVar = {
        "errors": [ErrorItem(part="body", pointer="/title", detail="This is required.")]
    }

    def __init__(self, *errors: ErrorItem) -> None:
        places = ", ".join(f"{error.part} {error.pointer}".rstrip() for error in errors)
        super().__init__(f"Not accepted: {places}.", errors=errors)
        self.errors = errors

    @classmethod
    def at(cls, part: RequestPart, pointer: str, detail: str) -> Self:
        return cls(ErrorItem(part=part, pointer=pointer, detail=detail))


class HeadTooLarge(Problem, status=431, slug="head-too-large"):
    title = "Address or header fields too large"
    description = "The address and the header fields are larger than the service accepts."
    advice = "Send fewer or shorter query parameters and header fields, cookies among them."


class TooManyRequests(RetryableProblem, status=429, slug="too-many-requests"):
    title = "Too many requests"
    description = "There were too many attempts from this address or at this account."
    advice = "Wait for the number of seconds in the `Retry-After` header."


class InternalError(Problem, status=500, slug="internal-error"):
    title = "Internal error"
    description = "The service failed. Its log has the cause, under the request id."
    advice = "Report the request id, which is in `instance` and in the `X-Request-ID` header."


class Unavailable(RetryableProblem, status=503, slug="unavailable"):
    title = "Temporarily unavailable"
    description = (
        "The service cannot answer at the moment, for example because its database is unreachable."
    )
    advice = (
        "Try again after the number of seconds in the `Retry-After` header. If the connection to "
        "the database was lost during a write, the write may have been completed: repeat it with "
        "the same `Idempotency-Key`, or with `If-Match`."
    )
