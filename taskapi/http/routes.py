from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from taskapi.http.declarations import declared
from taskapi.http.parameters import QueryParameters

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictQueryRoute(APIRoute):
    """A route that refuses every query if its operation has no query parameters.

    Other operations have a model of all their parameters, which forbids others, as `PageParams`.
    An operation has the name of its function.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 -- those of APIRoute
        super().__init__(path, endpoint, **{**options, "operation_id": endpoint.__name__})

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        if any(isinstance(source, QueryParameters) for source in declared(self.dependant, "reads")):
            return handle

        async def handle_without_query(request: Request) -> Response:
            if request.scope["query_string"] and request.query_params:
                raise RequestValidationError(
                    [{"type": "extra_forbidden", "loc": ("query", n)} for n in request.query_params]
                )
            return await handle(request)

        return handle_without_query
