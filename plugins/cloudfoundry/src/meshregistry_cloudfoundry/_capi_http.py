"""Pages, rate limits and refusals of the Cloud Controller; pure."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from attrs import define, field, frozen

from meshregistry.errors import (
    RegistryAuthError,
    RegistryError,
    RegistryProtocolError,
    RegistryUnavailable,
)

_AUTH = (401, 403)
_SERVER_FAULT = 500
_USUAL_PAUSE = 5.0
_SHOWN = 200


@frozen
class Page:
    """One answer to a listing.

    Attributes:
        resources: what it lists.
        included: what was asked to come along, by kind.
        total: how many things there are in all.
        following: address of the next page; empty on the last.
    """

    resources: tuple[dict[str, Any], ...]
    included: Mapping[str, Any]
    total: int
    following: str

    @classmethod
    def of(cls, body: Any, path: str) -> Page:
        """Read an answer.

        Raises:
            RegistryProtocolError: if it is no page.
        """
        try:
            pagination = body["pagination"]
            following = pagination["next"]
            return cls(
                tuple(one for one in body["resources"] if isinstance(one["guid"], str)),
                dict(body.get("included") or {}),
                int(pagination["total_results"]),
                str(following["href"]) if following else "",
            )
        except (KeyError, TypeError, ValueError) as error:
            msg = f"the answer to {path} is no page of a listing ({type(error).__name__}: {error}); check api"
            raise RegistryProtocolError(msg) from error


@define
class Listing:
    """The pages of one listing, put together.

    Attributes:
        resources: by GUID.
        included: by kind and GUID.
        totals: how many things there were in all, as each page said.
    """

    resources: dict[str, dict[str, Any]] = field(factory=dict)
    included: dict[str, dict[str, Any]] = field(factory=dict)
    totals: list[int] = field(factory=list)

    def add(self, page: Page) -> None:
        """Take one more page."""
        self.resources |= {one["guid"]: one for one in page.resources}
        self.totals.append(page.total)
        for kind, every in page.included.items():
            if isinstance(every, list):
                known = self.included.setdefault(kind, {})
                known |= {one["guid"]: one for one in every if isinstance(one, dict)}


def is_moving(listing: Listing) -> bool:
    """Whether something came or went between two pages, so that one may have been skipped."""
    return len({*listing.totals, len(listing.resources)}) > 1


def pause_of(said: Mapping[str, str]) -> float:
    """Seconds after which the rate limit allows more, by the headers of an answer.

    ``X-RateLimit-Reset`` is a time of the server's clock, so it is compared with its ``Date``.
    """
    try:
        if "Retry-After" in said:
            return max(0.0, float(said["Retry-After"]))
        here = parsedate_to_datetime(said["Date"]).timestamp()
        return max(0.0, float(said["X-RateLimit-Reset"]) - here)
    except (KeyError, ValueError):
        return _USUAL_PAUSE


def refusal(status: int, body: Any, url: str) -> RegistryError:
    """What an answer without success means."""
    errors = body.get("errors") if isinstance(body, dict) else None
    # What stands between may answer with JSON of its own.
    listed = errors if isinstance(errors, list) else ()
    texts = [str(one.get("title") or one.get("detail")) for one in listed if isinstance(one, dict)]
    shown = f"{status} {', '.join(texts)}"[:_SHOWN].strip()
    where = url.partition("?")[0]
    if status in _AUTH:
        return RegistryAuthError(
            f"{where} refuses the token: {shown}; see the permissions in the README"
        )
    if status < _SERVER_FAULT:
        return RegistryProtocolError(f"{where} refuses the question: {shown}; check api")
    return RegistryUnavailable(f"{where} cannot answer: {shown}; it is asked again")
