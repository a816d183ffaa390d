from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from starlette.requests import Request
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"

# A megabyte of unknown fields would otherwise be answered with several.
MAX_FAULTS = 20
MAX_POINTER = 200


class Problem(Exception):
    """An error that the client is told of, as problem details (RFC 9457).

    Every kind is a subclass in this module. Its docstring says what happened, `advice` what the
    client can do; both are the text of the page that `type` leads to.
    """

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]
    advice: ClassVar[str]
    oauth2_error: ClassVar[str] = "invalid_request"
    """What the token endpoint calls it (RFC 6749, sections 5.2 and 4.1.2.1)."""
    example: ClassVar[dict[str, object]] = {}
    """Members that this kind has beside those of RFC 9457."""

    def __init__(
        self, detail: str, *, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers
        self.members = members


class Unauthorized(Problem):
    """The request carries no access token, or one that is not valid (any more)."""

    status = 401
    slug = "unauthorized"
    title = "Log in first"
    advice = "Get an access token from POST /auth/token and send it as `Authorization: Bearer …`."


class LoginTooOld(Problem):
    """The operation needs a login with the password in the last 15 minutes (RFC 9470)."""

    status = 401
    slug = "login-too-old"
    title = "Log in again"
    advice = "Ask the user for the password, log in with it, and repeat the request."


class InvalidGrant(Problem):
    """The credentials sent to the token endpoint are wrong, or not valid any more."""

    status = 401
    slug = "invalid-grant"
    title = "The login failed"
    advice = (
        "Check the e-mail and the password; which of them is wrong is not said on purpose. If it "
        "was a refresh token, log in with the password."
    )
    oauth2_error = "invalid_grant"


class InvalidTokenRequest(Problem):
    """The form sent to the token or revocation endpoint can't be used."""

    status = 400
    slug = "invalid-token-request"
    title = "The token request is malformed"
    advice = (
        "Send an application/x-www-form-urlencoded form, each parameter once: grant_type=password "
        "with username (the e-mail) and password, or grant_type=refresh_token with refresh_token."
    )


class Forbidden(Problem):
    """The account that the request wants to change is not the caller's own."""

    status = 403
    slug = "forbidden"
    title = "Not your account"
    advice = "Change and delete only the account that you are logged in with."


class NotFound(Problem):
    """There is nothing at this address, or nothing that the caller may see."""

    status = 404
    slug = "not-found"
    title = "Not found"
    advice = "Check the path and the id. A task is found by its owner only."


class MethodNotAllowed(Problem):
    """The resource exists, but doesn't know this method."""

    status = 405
    slug = "method-not-allowed"
    title = "Method not allowed"
    advice = "Use one of the methods in the Allow header."


class EmailTaken(Problem):
    """An account with this e-mail exists. Upper and lower case make no difference."""

    status = 409
    slug = "email-taken"
    title = "The e-mail is taken"
    advice = "Log in with it, or register another one."


class PreconditionFailed(Problem):
    """The task is not as the If-Match header says: somebody changed it meanwhile."""

    status = 412
    slug = "precondition-failed"
    title = "Changed meanwhile"
    advice = "Read it again, apply the change to what it is now, and send the new ETag."


class ContentTooLarge(Problem):
    """The request's body is larger than any that this service can use."""

    status = 413
    slug = "content-too-large"
    title = "Content too large"
    advice = "Send less; the detail says how much is accepted."


class UnsupportedMediaType(Problem):
    """The body is not declared to be JSON."""

    status = 415
    slug = "unsupported-media-type"
    title = "Unsupported media type"
    advice = "Send JSON with the header `Content-Type: application/json`."


class InvalidRequest(Problem):
    """Something in the request's path, query or body doesn't fit what the operation takes."""

    status = 422
    slug = "invalid-request"
    title = "The request is invalid"
    advice = "`errors` lists each fault: `in` names the part of the request, `pointer` the place."
    example: ClassVar = {
        "errors": [{"in": "body", "pointer": "/title", "detail": "Field required"}]
    }

    @classmethod
    def of(cls, faults: Sequence[Mapping[str, str]]) -> Self:
        """`faults` have `in`, `pointer` and `detail`."""
        places = ", ".join(f"{fault['in']} {fault['pointer']}".rstrip() for fault in faults)
        return cls(f"Not accepted: {places}.", errors=faults)


class TooManyRequests(Problem):
    """There were too many attempts, from this address or at this account."""

    status = 429
    slug = "too-many-requests"
    title = "Too many requests"
    advice = "Wait for the seconds in the Retry-After header."
    oauth2_error = "temporarily_unavailable"


class InternalError(Problem):
    """The service met a fault of its own. It is in the log under the request id."""

    status = 500
    slug = "internal-error"
    title = "Internal error"
    advice = "Report it with the request id, which `instance` and the X-Request-ID header carry."


class Unavailable(Problem):
    """The service can't do this for the moment, for example because its database is away."""

    status = 503
    slug = "unavailable"
    title = "Temporarily unavailable"
    advice = (
        "Try again after the seconds in the Retry-After header. A write may have been done if the "
        "connection to the database broke just then: repeat it with the same Idempotency-Key, or "
        "with If-Match."
    )
    oauth2_error = "temporarily_unavailable"


PROBLEMS = {problem.slug: problem for problem in Problem.__subclasses__()}


def respond(request: Request, problem: Problem) -> JSONResponse:
    root_path = request.scope.get("root_path", "").rstrip("/")
    return JSONResponse(
        {
            "type": f"{root_path}/problems/{problem.slug}",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
            "instance": request.state.request_id,
            **problem.members,
        },
        status_code=problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )
