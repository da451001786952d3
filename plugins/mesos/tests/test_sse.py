"""Facts of the decoder of server-sent events."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.errors import RegistryProtocolError
from meshregistry_mesos import _sse
from meshregistry_mesos._sse import EventReader, ServerEvent

LINE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
NAME = st.text(st.sampled_from("abc_"), min_size=1, max_size=10)


@given(
    st.lists(st.tuples(NAME, st.lists(LINE, min_size=1, max_size=3))),
    st.lists(st.integers(min_value=0)),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_is_encoded_is_decoded_however_it_is_cut(events, cuts, end):
    """Within a character or the end of a line, too, whichever of the three ends lines have."""
    lines = []
    for name, data in events:
        lines += [f"event: {name}", *(f"data: {one}" for one in data), ""]
    # A comment after the last event, so that no end of a line is at the end of all.
    raw = "".join(f"{line}{end}" for line in lines).encode() + b":"
    edges = sorted({0, len(raw), *(one % (len(raw) + 1) for one in cuts)})
    reader = EventReader()
    found = [event for a, b in itertools.pairwise(edges) for event in reader.feed(raw[a:b])]
    assert [ServerEvent(name, "\n".join(data)) for name, data in events] == found


def test_comments_unknown_fields_and_events_without_data_are_passed_over():
    """As the standard has it; without a name an event is a message."""
    raw = b": hello\nid: 7\nretry: 1\nevent: empty\n\ndata:tight\n\n"
    assert [ServerEvent("message", "tight")] == list(EventReader().feed(raw))


def test_an_event_without_end_is_refused(monkeypatch):
    """Or memory would be its size."""
    monkeypatch.setattr(_sse, "_LONGEST", 10)
    with pytest.raises(RegistryProtocolError, match="is this address Marathon"):
        list(EventReader().feed(b"data: 1234567890"))
