"""How an attempt ends decides how it is retried."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry.aggregate._failure import Failure
from meshregistry.errors import (
    RecordError,
    RegistryAuthError,
    RegistryError,
    RegistryProtocolError,
    RegistryUnavailable,
)
from meshregistry.model import SourceId
from meshregistry.spi import Condition

DC = SourceId("dc")


@pytest.mark.parametrize("kind", [RegistryUnavailable, RegistryProtocolError, RecordError])
def test_a_registry_error_makes_the_source_stale_and_is_retried_soon(kind):
    """The connection is lost: STALE, and the error says whose."""
    failure = Failure.of(DC, kind("gone"))
    assert (failure.condition, failure.is_slow) == (Condition.STALE, False)
    assert failure.error.source == "dc"


def test_refused_credentials_fail_the_source_and_are_retried_slowly():
    """Haste would lock the account."""
    failure = Failure.of(DC, RegistryAuthError("no"))
    assert (failure.condition, failure.is_slow, failure.is_fault) == (Condition.FAILED, True, False)


@pytest.mark.parametrize("raised", [ValueError("x"), SystemExit(1), asyncio.CancelledError()])
def test_anything_else_is_a_fault_of_the_plugin(raised):
    """FAILED, retried slowly, with the cause kept for the traceback."""
    failure = Failure.of(DC, raised)
    assert (failure.condition, failure.is_slow, failure.is_fault) == (Condition.FAILED, True, True)
    assert failure.error.__cause__ is raised
    assert type(raised).__name__ in str(failure.error)


def test_a_group_of_registry_errors_counts_as_the_gravest():
    """An adapter's task group raises groups, also nested ones."""
    auth = RegistryAuthError("no")
    group = ExceptionGroup("g", [RegistryUnavailable("gone"), ExceptionGroup("h", [auth])])
    assert Failure.of(DC, group).error is auth
    gone = RegistryUnavailable("gone")
    assert Failure.of(DC, ExceptionGroup("g", [gone, RegistryUnavailable("too")])).error is gone


def test_a_group_with_anything_else_is_a_fault():
    """One bug among registry errors is still a bug."""
    group = ExceptionGroup("g", [RegistryUnavailable("gone"), KeyError("k")])
    assert Failure.of(DC, group).is_fault


def test_returning_is_a_protocol_error():
    """A run that ends without being cancelled has broken the contract."""
    failure = Failure.returned(DC)
    assert isinstance(failure.error, RegistryProtocolError)
    assert isinstance(failure.error, RegistryError)
    assert failure.condition is Condition.STALE
