"""Tokens of UAA: which grant to ask for, and what an answer means; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from meshregistry.errors import RegistryAuthError, RegistryError, RegistryUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_OK = 200
_REFUSED = (400, 401, 403)
_EARLY = 0.9
_USUAL = 600


@frozen
class Token:
    """What UAA has given.

    Attributes:
        access: goes with each request.
        refresh: for the next token; empty if there is none.
        until: when the next one is to be asked for, before this one ends.
    """

    access: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)
    until: float = 0.0

    def is_valid(self, now: float) -> bool:
        """Whether it can still be used."""
        return bool(self.access) and now < self.until


def grant(user: str, *, has_refresh_token: bool) -> Mapping[str, str]:
    """What to ask UAA for, without the secrets."""
    if user:
        return {"grant_type": "password", "username": user}
    if has_refresh_token:
        return {"grant_type": "refresh_token"}
    return {"grant_type": "client_credentials"}


def token_of(status: int, body: Any, uaa: str, now: float) -> Token:
    """Read an answer of UAA. What it says is not shown: it may repeat what it was sent.

    Raises:
        RegistryError: if there is no token in it.
    """
    said = body if isinstance(body, dict) else {}
    if status != _OK:
        error = said.get("error")
        # Codes of RFC 6749, section 5.2; the description next to them is free text.
        why = f"{status} {error}" if isinstance(error, str) and error.isidentifier() else status
        raise _refusal(status, f"{uaa} gives no token: {why}")
    access, lasts = said.get("access_token"), said.get("expires_in", _USUAL)
    if not isinstance(access, str) or not isinstance(lasts, int | float):
        msg = f"{uaa} does not answer like UAA; write the address of the Cloud Foundry API as api"
        raise RegistryUnavailable(msg)
    refresh = said.get("refresh_token")
    return Token(access, refresh if isinstance(refresh, str) else "", now + _EARLY * lasts)


def _refusal(status: int, text: str) -> RegistryError:
    if status in _REFUSED:
        return RegistryAuthError(
            f"{text}; check user and password, refresh_token, or client_id and client_secret"
        )
    return RegistryUnavailable(f"{text}; it is asked again")
