"""Facts of what a sweep asks for next."""

from __future__ import annotations

import pytest

from meshregistry.errors import RegistryProtocolError
from meshregistry_consul._due import (
    Due,
    affected_by_checks,
    affected_by_nodes,
    check_states,
    node_stamps,
)


def taken(take):
    """Everything there is to take."""
    names = []
    while (name := take()) is not None:
        names.append(name)
    return names


class TestDue:
    def test_each_is_asked_for_once(self):
        """However often it was named."""
        due = Due()
        due.name(["a", "b"])
        due.name(["b", "c"])
        assert ["a", "b", "c"] == taken(due.take_urgent)

    def test_a_round_under_way_ends_before_the_next(self):
        """Changes without a pause do not starve the last ones."""
        due = Due()
        due.round(["a", "b"])
        assert "a" == due.take_round()
        due.round(["a", "b"])
        due.round(["a", "b", "c"])
        assert ["b", "a", "b", "c"] == taken(due.take_round)

    def test_what_is_gone_is_not_asked_for(self):
        """In no queue."""
        due = Due()
        due.name(["a"])
        due.round(["a", "b"])
        due.round(["a", "b"])
        due.drop("a")
        assert ([], ["b", "b"]) == (taken(due.take_urgent), taken(due.take_round))


class TestTables:
    def test_recorded_checks_tell_their_services(self, payload):
        """A flip names its service."""
        before = payload("checks")
        after = [
            dict(one, Status="passing", ModifyIndex=99) if one["ServiceName"] == "web" else one
            for one in before
        ]
        assert ({"web"}, set()) == affected_by_checks(check_states(before), check_states(after))

    def test_a_check_of_a_node_tells_of_the_node(self, payload):
        """Its services are found by where they are."""
        checks = payload("checks")
        others = [one for one in checks if one["CheckID"] != "serfHealth"]
        assert (set(), {"meshnode"}) == affected_by_checks(
            check_states(checks), check_states(others)
        )

    def test_recorded_nodes_tell_when_they_changed(self, payload):
        """By their stamp."""
        before = payload("nodes")
        after = [dict(one, ModifyIndex=99) if one["Node"] == "vm-7" else one for one in before]
        assert {"vm-7"} == affected_by_nodes(node_stamps(before), node_stamps(after))

    @pytest.mark.parametrize("answer", [None, 7, ["x"], [{}]])
    def test_other_answers_are_protocol_errors(self, answer):
        """Nothing is concluded from them."""
        for read in (check_states, node_stamps):
            with pytest.raises(RegistryProtocolError):
                read(answer)
