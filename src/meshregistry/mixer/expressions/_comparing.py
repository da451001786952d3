"""When two values of one type are equal: addresses and names have more than one spelling."""

from __future__ import annotations

import re
from email.errors import MessageError
from email.headerregistry import Address
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from meshregistry.mixer._attributes import ValueType
from meshregistry.mixer.expressions._extra import idna

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAPPED = bytes(10) + b"\xff\xff"
_IPV6 = 16
_WEB = frozenset({"http", "https"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# RFC 3986, sections 3.1, 4.2 and 2.1.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_COLON_FIRST = re.compile(r"[^/?#]*:")
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 5321, section 4.5.3.1: a local part and a domain.
_LONGEST_ADDRESS = 64 + 1 + 255


def address_key(value: bytes) -> bytes:
    """IPv4 addresses are equal to themselves as IPv6 ones."""
    if len(value) == _IPV6 and value.startswith(_MAPPED):
        return value[12:]
    return value


def dns_key(value: str) -> str:
    """Case and one dot at the end do not count; names of other scripts by IDNA (UTS 46).

    Raises:
        ValueError: if it is no name.
    """
    if not value.strip("."):
        raise ValueError(f"{value!r} is not a DNS name")
    try:
        return idna.encode(value.removesuffix("."), uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{value!r} is not a DNS name: {error}") from error


def email_key(value: str) -> tuple[str, str]:
    """The local part as it is, the domain as a DNS name (RFC 5321, section 2.4).

    Raises:
        ValueError: if it is not one address without a display name.
    """
    if len(value) > _LONGEST_ADDRESS:
        raise ValueError(f"{value[:40]!r}… is not an e-mail address: it is too long for one")
    local, _, domain = value.rpartition("@")
    # The parser knows nothing of letters of other scripts before the @ (RFC 6531).
    spelled = "".join("x" if _is_letter(one) else one for one in local)
    try:
        address = Address(addr_spec=f"{spelled}@{domain}")
    except (ValueError, IndexError, AttributeError, MessageError, RecursionError) as error:
        # The parser of the standard library stumbles over some texts instead of refusing them:
        # each parenthesis is a level of its stack.
        raise ValueError(f"{value!r} is not an e-mail address") from error
    if not (address.username and address.domain):
        raise ValueError(f"{value!r} is not an e-mail address: write name@domain")
    if "(" in value and '"' not in local:
        raise ValueError(f"{value!r} is not an e-mail address: it has a comment")
    return (address.username if spelled == local else local), dns_key(address.domain)


def uri_key(value: str) -> tuple[str, ...]:
    """The scheme without regard to case, hosts of web addresses as DNS names, the rest as text.

    What is forgiven is blanks in the path and what follows it.

    Raises:
        ValueError: if it is empty, or cannot be taken apart.
    """
    parts = _split(value)
    scheme = parts.scheme.lower()
    if scheme not in _WEB or not parts.hostname:
        return (scheme, value.partition(":")[2] if scheme else value)
    user, _, place = parts.netloc.rpartition("@")
    _, bracket, port = place.rpartition("]")
    port = port if bracket else place.partition(":")[2]
    return (scheme, user, _host_key(parts.hostname), port, *parts[2:])


def _split(value: str) -> SplitResult:
    if not value:
        raise ValueError("an empty text is not a URI")
    if _CONTROL.search(value):
        raise ValueError(f"{value!r} is not a URI: it has control characters")
    if _COLON_FIRST.match(value) and not _SCHEME.match(value):
        raise ValueError(f"{value!r} is not a URI: before the first colon there is no scheme")
    parts = urlsplit(value)
    if any(one.isspace() for one in parts.netloc):
        raise ValueError(f"{value!r} is not a URI: its host has blanks")
    if any(_NO_ESCAPE.search(one) for one in (parts.netloc, parts.path, parts.fragment)):
        raise ValueError(f"{value!r} is not a URI: after % there must be two hexadecimal digits")
    # Reading the port checks it.
    _ = parts.port
    return parts


def _is_letter(one: str) -> bool:
    return not one.isascii() and one.isprintable()


def _host_key(host: str) -> str:
    try:
        return ip_address(host).compressed
    except ValueError:
        return dns_key(host)


KEYS: Mapping[ValueType, Callable[..., object]] = {
    ValueType.IP_ADDRESS: address_key,
    ValueType.DNS_NAME: dns_key,
    ValueType.EMAIL_ADDRESS: email_key,
    ValueType.URI: uri_key,
}
"""For types whose values have several spellings: what is equal of equal ones."""
