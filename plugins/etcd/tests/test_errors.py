"""What etcd's answers mean: who should do what."""

from __future__ import annotations

import grpc
import pytest

from meshregistry.errors import RegistryAuthError, RegistryProtocolError, RegistryUnavailable
from meshregistry_etcd._errors import AuthOff, Compacted, NotThere, StaleToken, error_of

CODE = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (CODE.UNAVAILABLE, "etcdserver: leader changed", RegistryUnavailable),
        (CODE.DEADLINE_EXCEEDED, "", RegistryUnavailable),
        (CODE.RESOURCE_EXHAUSTED, "etcdserver: too many requests", RegistryUnavailable),
        (CODE.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", Compacted),
        (CODE.UNAUTHENTICATED, "etcdserver: invalid auth token", StaleToken),
        (CODE.INVALID_ARGUMENT, "etcdserver: revision of auth store is old", StaleToken),
        (CODE.INVALID_ARGUMENT, "auth: revision in header is old", StaleToken),
        (CODE.INVALID_ARGUMENT, "etcdserver: user name is empty", RegistryAuthError),
        (
            CODE.INVALID_ARGUMENT,
            "etcdserver: authentication failed, invalid user ID or password",
            RegistryAuthError,
        ),
        (CODE.UNKNOWN, "rpc error: desc = etcdserver: permission denied", RegistryAuthError),
        (CODE.PERMISSION_DENIED, "", RegistryAuthError),
        (CODE.FAILED_PRECONDITION, "etcdserver: authentication is not enabled", AuthOff),
        (CODE.NOT_FOUND, "etcdserver: requested lease not found", NotThere),
        (CODE.UNIMPLEMENTED, "unknown service", RegistryProtocolError),
    ],
)
def test_an_answer_says_what_to_do(code, details, kind):
    """Retry soon, retry slowly, list again, sign in again; and which endpoint it was."""
    error = error_of(code, details, "a:2379")
    assert type(error) is kind
    assert "a:2379" in str(error)
