"""What a server wants done with a request and its response."""

from __future__ import annotations

from enum import Enum

from attrs import frozen


class Operation(Enum):
    """What to do with a header; the values are the wire's."""

    REPLACE = 0
    REMOVE = 1
    APPEND = 2


@frozen
class HeaderOperation:
    """One change of headers.

    Attributes:
        name: of the header, in lower case; of requests also `:path` and its like.
        value: new or added; empty for a removal.
        operation: what to do.
    """

    name: str
    value: str = ""
    operation: Operation = Operation.REPLACE

    def apply(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """The headers after this change; a replacement stands at the end."""
        if self.operation is Operation.APPEND:
            return [*headers, (self.name, self.value)]
        kept = [pair for pair in headers if pair[0].lower() != self.name]
        return kept if self.operation is Operation.REMOVE else [*kept, (self.name, self.value)]


@frozen
class RouteDirective:
    """What the server wants done with a request and its response.

    Attributes:
        request_headers: changes before the request goes on.
        response_headers: changes of the response, ours or the service's.
        direct_code: answer with this status of HTTP instead; 0: let the request go on.
        direct_body: and with this body.
    """

    request_headers: tuple[HeaderOperation, ...] = ()
    response_headers: tuple[HeaderOperation, ...] = ()
    direct_code: int = 0
    direct_body: str = ""


NO_DIRECTIVE = RouteDirective()
