"""RegistryConformance: the test class that tells an adapter's author when it is done."""

from __future__ import annotations

from typing import Any

import pytest

from meshregistry.testing._conformance_cost import CostRules
from meshregistry.testing._conformance_data import DataRules
from meshregistry.testing._conformance_trouble import TroubleRules


class RegistryConformance(DataRules, TroubleRules, CostRules):
    """Every rule for adapters as a test; subclass it in a test module.

    The adapter runs under the supervisor that the pilot uses, with a short back-off, against
    a backend of the author's. Each test runs on a loop of its own.

    A backend has ``put(record) -> ServiceRecord``, which returns once the backend answers
    with the service, and says what the adapter should publish for it; and ``remove(key)``,
    which takes the key of such a record and is no error if there is none. Methods may be sync
    or async. A backend that is an async context manager is entered on the test's loop, and
    what entering gives is used.

    Capabilities, each with the methods that the backend then has:

    - ``garble``: ``garble(key)`` makes the entry of this record malformed; `put` mends it.
    - ``outage``: ``break_()`` makes the backend unreachable, open connections included.
    - ``writes_in_outage``: `put` and `remove` work after ``break_()``.
    - ``truncate``: ``truncate()`` lets every answer break off half-way from now on, and ends
      the connections that are open.
    - ``silence``: ``silence()`` lets open connections stay open and pass nothing.
    - ``slow``: ``slow(seconds)`` delays every answer.
    - ``credentials``: ``refuse_credentials()`` refuses those that the adapter has.
    - ``wipe``: ``wipe()`` restarts the backend without what it knew.
    - ``attempts``: ``attempts()`` says how often the adapter has connected or asked so far;
      without it only the core's attempts and the processor are watched for retry storms.
    - ``atomic``: `put` is one write, so that no state in between may be seen.

    ``heal()`` ends whatever ``break_``, ``truncate``, ``slow`` and ``refuse_credentials``
    have begun. `TcpProxy` does most of this for any backend behind TCP.

    Attributes:
        kind: the `RegistryKind` under test.
        capabilities: what the backend can do; a word that is not in the list above is a
            TypeError, a test that needs another one is skipped and says which.
        latency: seconds within which a change of the backend must be in the catalog, and a
            failure be noticed.
        settle: seconds for which a test watches that nothing happens.
        outage: seconds that an outage lasts.
        slowness: seconds that a slow backend takes for an answer.
        promptness: seconds within which a cancelled adapter must have ended.
        attempts_per_second: how many attempts an outage may see; an adapter that keeps many
            requests open at once may need more.
        cpu_share: share of one processor that an outage may use.
        changes: how many changes must leave memory flat; a backend that needs more than some
            milliseconds for one may take fewer, which finds only larger leaks.
        timeout: seconds that a test may take in all.
        base_path: for relative paths in the options.
    """

    @pytest.fixture
    def backend(self) -> Any:
        """The backend to test with; every subclass overrides this fixture.

        Raises:
            NotImplementedError: unless it is overridden.
        """
        msg = f"{type(self).__name__} needs a fixture backend: an object with put and remove"
        raise NotImplementedError(msg)
