"""What the API server says of a request that it refuses."""

from __future__ import annotations

import pytest

from meshregistry.errors import (
    RegistryAuthError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry_kubernetes._collection import Collection
from meshregistry_kubernetes._status import Status


class TestStatus:
    @pytest.mark.parametrize(
        ("code", "kind", "words"),
        [
            (401, RegistryAuthError, "does not accept the credentials"),
            (403, RegistryAuthError, "forbids to list pods at the cluster scope"),
            (429, RegistryUnavailable, "cannot list pods"),
            (503, RegistryUnavailable, "cannot list pods"),
            (422, RegistryProtocolError, "refuses to list pods"),
        ],
    )
    def test_a_refusal_becomes_the_error_that_says_how_to_retry(self, code, kind, words):
        """It names verb and resource."""
        error = Status(code=code).error(Collection(resource="pods"), "list")
        assert type(error) is kind
        assert words in str(error)

    def test_a_status_is_read(self):
        """From a body or from an ERROR event; what is no Status is what HTTP said."""
        document = {"code": 504, "reason": "Timeout", "details": {"retryAfterSeconds": 3}}
        assert Status(code=504, reason="Timeout", retry_after=3.0) == Status.parse(document)
        assert Status(code=502) == Status.parse([], code=502)
        causes = {"causes": [{"reason": "ResourceVersionTooLarge"}]}
        assert Status.parse({"code": 504, "details": causes}).is_version_ahead
        assert Status.parse({"code": 410}).is_expired
        assert Status.parse({"code": 500, "reason": "Expired"}).is_expired
