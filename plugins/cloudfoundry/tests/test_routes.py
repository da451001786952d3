"""Facts of the names of routes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry_cloudfoundry._routes import Route

PATHS = st.text(st.sampled_from("ab-_./~%é2"), max_size=12).map(lambda text: f"/{text}")


@pytest.mark.parametrize(
    ("uri", "key", "host"),
    [
        ("cart.apps.example", "cart.apps.example", "cart.apps.example"),
        ("Cart.Apps.Example/", "cart.apps.example", "cart.apps.example"),
        ("*.apps.example", "*.apps.example", "*.apps.example"),
        ("cart.example/V2", "cart.example/v2", "v2._path.cart.example"),
        ("cart.example/v2/api/?a=b", "cart.example/v2/api", "api.v2._path.cart.example"),
        ("cart.example/a.b", "cart.example/a.b", "a_2eb._path.cart.example"),
        ("cart.example/-x-y", "cart.example/-x-y", "_2dx-y._path.cart.example"),
        ("cart.example/a_b", "cart.example/a_b", "a_5fb._path.cart.example"),
        ("cart.example/~u", "cart.example/~u", "_7eu._path.cart.example"),
        ("*.example/v2", "*.example/v2", "v2._path._any.example"),
    ],
)
def test_a_route_has_a_key_and_a_host(uri, key, host):
    """Case, a slash at the end and a query do not count; a path becomes labels."""
    route = Route.parse(uri)
    assert (key, host) == (route.key, route.service_host)


@pytest.mark.parametrize("uri", ["", "/v2", "not a host", "a.*.example", "cart.example:80"])
def test_what_is_no_host_is_refused(uri):
    """With a reason."""
    with pytest.raises(ValueError, match="host name"):
        Route.parse(uri)


def test_a_path_too_long_for_a_host_name_is_refused():
    """It is never shortened to another one's."""
    with pytest.raises(ValueError, match="at most 63"):
        _ = Route.parse("cart.example/" + "x" * 64).service_host


@given(PATHS, PATHS)
def test_two_paths_never_share_a_host(one, other):
    """Or the backends of one would be those of the other."""
    first, second = Route.parse(f"a.example{one}"), Route.parse(f"a.example{other}")
    if first.key != second.key:
        assert first.service_host != second.service_host
