"""What the API server says when it refuses: its Status object, sorted. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.errors import RegistryAuthError, RegistryProtocolError, RegistryUnavailable

if TYPE_CHECKING:
    from meshregistry.errors import RegistryError
    from meshregistry_kubernetes._collection import Collection

UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
CONFLICT = 409
GONE = 410
TOO_MANY = 429
TIMEOUT = 504
_SERVER = 500


@frozen(kw_only=True)
class Status:
    """A refusal.

    Attributes:
        code: the HTTP status, of the answer or of an ERROR event inside a watch.
        reason: the machine's word, such as ``Expired``.
        message: the server's sentence.
        retry_after: seconds that the server asks to wait.
        is_version_ahead: the server has not reached the version that was asked for.
    """

    code: int
    reason: str = ""
    message: str = ""
    retry_after: float | None = None
    is_version_ahead: bool = False

    @classmethod
    def parse(cls, document: Any, *, code: int = 0, retry_after: str = "") -> Status:
        """Read a ``v1.Status``; a body that is none leaves what HTTP said."""
        status = document if isinstance(document, dict) else {}
        details = status.get("details")
        details = details if isinstance(details, dict) else {}
        causes = details.get("causes") or []
        seconds = details.get("retryAfterSeconds") or retry_after
        found = status.get("code")
        message = str(status.get("message") or "")
        return cls(
            code=code or (found if isinstance(found, int) else 0),
            reason=str(status.get("reason") or ""),
            message=message,
            retry_after=float(seconds) if str(seconds).isdigit() else None,
            is_version_ahead=any(
                isinstance(cause, dict) and cause.get("reason") == "ResourceVersionTooLarge"
                for cause in causes
            )
            or "Too large resource version" in message,
        )

    @property
    def is_expired(self) -> bool:
        """Whether the server no longer has the history since the version asked for."""
        return self.code == GONE or self.reason in {"Expired", "Gone"}

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed in a while."""
        return self.code in {TOO_MANY, TIMEOUT} or self.code >= _SERVER or self.code == 0

    def error(self, collection: Collection, verb: str) -> RegistryError:
        """This refusal as one of our errors; names verb and resource."""
        asked = f"{verb} {collection}"
        said = self.message or self.reason or f"HTTP {self.code}"
        if self.code == UNAUTHORIZED:
            return RegistryAuthError(
                f"the API server does not accept the credentials ({asked}): {said}; renew the "
                "token or certificate of the kubeconfig or service account"
            )
        if self.code == FORBIDDEN:
            return RegistryAuthError(
                f"the API server forbids to {asked}: {said}; grant get, list and watch on "
                f"{collection.qualified}, or set options so that it is not read"
            )
        if self.is_passing:
            return RegistryUnavailable(
                f"the API server cannot {asked} now: {said}; see the server's own log"
            )
        return RegistryProtocolError(
            f"the API server refuses to {asked}: HTTP {self.code}, {said}; check the selectors "
            "of the source and the version of the server"
        )


class Refused(Exception):
    """The server has answered, with a refusal."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"{status.code} {status.reason}: {status.message}")
        self.status = status
