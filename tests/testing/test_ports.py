"""free_port gives ports that nobody else uses or is given."""

from __future__ import annotations

import socket

import pytest

from meshregistry.testing import _ports, free_port


@pytest.fixture
def share(monkeypatch):
    """``share(ports)``: those that this process is to give next."""
    return lambda ports: monkeypatch.setattr(_ports, "_NEXT", iter(ports))


def test_none_is_given_twice():
    """Though nobody has bound the first one yet."""
    assert 50 == len({free_port() for _ in range(50)})


def test_none_is_one_that_the_system_gives_by_itself():
    """Port 0 and outgoing connections are served from 32768 on."""
    assert all(20_000 <= free_port() < 32_000 for _ in range(50))


def test_one_in_use_is_passed_over(share):
    """Whoever has it."""
    used, free = free_port(), free_port()
    share([used, free])
    with socket.socket() as held:
        held.bind(("127.0.0.1", used))
        assert free == free_port()


def test_without_a_free_one_the_failure_says_what_to_do(share):
    """It does not search for ever."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        share([held.getsockname()[1]] * 300)
        with pytest.raises(OSError, match="none of 200 ports is free: stop what uses them"):
            free_port()


def test_processes_side_by_side_take_theirs_from_different_shares(monkeypatch):
    """Between choosing and binding nobody else may take the same one."""
    shares = []
    for worker in ("gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        mine = _ports._share()
        shares.append({next(mine) for _ in range(1500)})
    assert not shares[0] & shares[1]
