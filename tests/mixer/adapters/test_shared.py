"""What the handlers of one server share is made once for each server."""

from __future__ import annotations

import random
from pathlib import Path

from meshregistry.mixer.server._running import Context, Surroundings


def test_handlers_of_one_server_share_what_the_first_has_made():
    """By name; those of another server have their own."""
    one, other = (Surroundings(random=random.Random(1), base_path=Path()) for _ in range(2))
    contexts = [Context(name=name, instances={}, around=one) for name in ("a", "b")]
    first, second = (context.shared("pool", list) for context in contexts)
    assert first is second
    assert first is not contexts[0].shared("other", list)
    assert first is not Context(name="a", instances={}, around=other).shared("pool", list)
