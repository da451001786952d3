"""Facts of the state of a cluster: what events change, and what a new master does not remove."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_mesos import AGENT, FRAMEWORK, agent, framework, labels, published, status, task

from meshregistry.errors import RecordError, RegistryProtocolError
from meshregistry_mesos import MesosConfig
from meshregistry_mesos._recordio import RecordReader
from meshregistry_mesos._state import MesosState

CONFIG = MesosConfig()
WEB = "marathon/web"


def listing(*tasks, agents=None, frameworks=None, recovered=()):
    """What `get_state` says."""
    return {
        "get_tasks": {"tasks": list(tasks)},
        "get_frameworks": {"frameworks": [framework()] if frameworks is None else frameworks},
        "get_agents": {
            "agents": [agent()] if agents is None else agents,
            "recovered_agents": list(recovered),
        },
    }


def state(*tasks, config=CONFIG, **more):
    """A state of these tasks."""
    return MesosState.listed(config, listing(*tasks, **more))


def added(message):
    """The event of a new task."""
    return {"type": "TASK_ADDED", "task_added": {"task": message}}


def updated(id_, task_state, **more):
    """The event of an update."""
    said = {"framework_id": {"value": FRAMEWORK}, "status": status(id_, task_state, **more)}
    return {"type": "TASK_UPDATED", "task_updated": {**said, "state": task_state}}


def agent_added(message):
    """The event of an agent that has registered."""
    return {"type": "AGENT_ADDED", "agent_added": {"agent": message}}


def addresses(held, key=WEB):
    """Where a service answers."""
    return [one.address for record in held.service(key).records for one in record.endpoints]


def test_the_recorded_events_of_a_real_master_are_followed():
    """Two tasks start, one is killed, the framework is torn down; only these services move."""
    raw = (Path(__file__).parent / "payloads" / "subscribe.recordio").read_bytes()
    events = [json.loads(one) for one in RecordReader().feed(raw)]
    held = MesosState.listed(CONFIG, events[0]["subscribed"]["get_state"])
    assert {} == held.services()
    moves = [
        (event["type"], key, addresses(held, key))
        for event in events[1:]
        for key in held.apply(event).touched
    ]
    assert [
        ("TASK_ADDED", "marathon/web", []),
        ("TASK_UPDATED", "marathon/web", ["127.0.0.1", "127.0.0.1"]),
        ("TASK_ADDED", "marathon/api", []),
        ("TASK_UPDATED", "marathon/api", ["127.0.0.1", "127.0.0.1"]),
        ("TASK_UPDATED", "marathon/api", []),
        ("TASK_UPDATED", "marathon/web", []),
    ] == moves


def test_many_tasks_make_one_record():
    """Whole, whichever of them has changed."""
    held = state(task("a", ip="10.0.0.1"), task("b", ip="10.0.0.2"))
    assert (published("web", "10.0.0.1", "10.0.0.2"),) == held.service(WEB).records
    assert {WEB} == held.apply(added(task("c", ip="10.0.0.3"))).touched
    assert {WEB} == held.apply(updated("a", "TASK_FINISHED")).touched
    assert (published("web", "10.0.0.2", "10.0.0.3"),) == held.service(WEB).records


def test_an_event_that_changes_nothing_touches_nothing():
    """Kinds that we do not know, and ends of tasks that we do not have."""
    held = state(task("a"))
    for event in ({"type": "HEARTBEAT"}, {"type": "FRAMEWORK_NEW"}, updated("x", "TASK_LOST")):
        news = held.apply(event)
        assert (frozenset(), False) == (news.touched, news.is_to_list)


def test_an_unreachable_task_may_return():
    """It is kept as the settings say until it ends or runs again."""
    held = state(task("a", ip="10.0.0.1"))
    held.apply(updated("a", "TASK_UNREACHABLE"))
    assert ["UNHEALTHY"] == [str(one.health) for one in held.service(WEB).records[0].endpoints]
    held.apply(updated("a", "TASK_RUNNING"))
    assert (published("web", "10.0.0.1"),) == held.service(WEB).records


def test_a_task_that_was_lost_and_is_back_asks_for_a_listing():
    """An update does not say what it is."""
    held = state(task("a"))
    held.apply(updated("a", "TASK_LOST"))
    assert held.apply(updated("a", "TASK_RUNNING")).is_to_list


def test_an_agent_that_is_removed_takes_its_tasks_along():
    """And no others."""
    other = task("b", "api", agent_id={"value": "S1"})
    held = state(task("a"), other, agents=[agent(), agent("S1", ip="10.9.0.2")])
    news = held.apply({"type": "AGENT_REMOVED", "agent_removed": {"agent_id": {"value": AGENT}}})
    assert {WEB} == news.touched
    assert ["marathon/api"] == list(held.services())


def test_an_agent_that_changes_touches_its_services():
    """Its attributes are their locality."""
    held = state(task("a"))
    assert {WEB} == held.apply(agent_added(agent(attributes={"zone": "z"}))).touched
    assert ["z"] == [one.locality.zone for one in held.service(WEB).records[0].endpoints]


def test_tasks_of_an_unknown_framework_wait_for_it():
    """They have no name before that; a framework that is renamed moves them."""
    held = state(task("a"), frameworks=[])
    assert {} == held.services()
    event = {"type": "FRAMEWORK_ADDED", "framework_added": {"framework": framework()}}
    assert {WEB} == held.apply(event).touched
    renamed = {"framework": framework(name="aurora")}
    event = {"type": "FRAMEWORK_UPDATED", "framework_updated": renamed}
    assert {WEB, "aurora/web"} == held.apply(event).touched
    assert ["aurora/web"] == list(held.services())
    info = framework()["framework_info"]
    event = {"type": "FRAMEWORK_REMOVED", "framework_removed": {"framework_info": info}}
    assert {"aurora/web"} == held.apply(event).touched
    assert {} == held.services()


def test_frameworks_are_filtered_by_their_names():
    """Wanted ones, less the unwanted ones."""
    frameworks = [framework("F0", "marathon"), framework("F1", "mono"), framework("F2", "spark")]
    tasks = [task(f"t{n}", framework_id={"value": f"F{n}"}) for n in range(3)]
    config = MesosConfig(frameworks=("m*",), exclude_frameworks=("mono",))
    held = state(*tasks, config=config, frameworks=frameworks)
    assert [WEB] == list(held.services())


def test_hosts_are_made_by_the_template():
    """Names become labels as Mesos-DNS makes them."""
    made = task("a", "Shop_Web.prod")
    for template, expected in (
        ("{task}.{framework}.mesos", "shop-web-prod.mar.a-thon.mesos"),
        ("{task_path}.{task}.mesh", "shop-web.prod.shop-web-prod.mesh"),
    ):
        config = MesosConfig(hostname=template)
        held = state(made, config=config, frameworks=[framework(name="mar.a_thon")])
        (record,) = held.service("mar.a_thon/Shop_Web.prod").records
        assert expected == record.service.host


def test_virtual_addresses_have_records_of_their_own():
    """Named ones; IPs are addresses of the service itself."""
    vips = labels({"VIP_0": "/front:80", "VIP_1": "10.1.2.3:80"})
    ports = [{"number": 8080, "name": "http", "labels": vips}]
    made = task("a", ip="10.0.0.1", discovery={"name": "web", "ports": {"ports": ports}})
    own, vip = state(made).service(WEB).records
    assert (("10.1.2.3",), [80]) == (
        own.service.addresses,
        [one.number for one in own.service.ports],
    )
    assert ("front.marathon.l4lb.thisdcos.directory", f"{WEB}|{vip.service.host}") == (
        vip.service.host,
        vip.key,
    )
    assert [("10.0.0.1", 8080)] == [(one.address, one.port) for one in vip.endpoints]
    config = MesosConfig(vip_hostname="", service_ports={"http": 8000})
    (own,) = state(made, config=config).service(WEB).records
    assert [8000] == [one.number for one in own.service.ports]


def test_ports_that_differ_from_task_to_task_do_not_move_the_service():
    """They have the usual number of their protocol, or the next that is free."""

    def dynamic(id_, first):
        named = [(0, "http"), (1, "http-admin"), (2, "tls-x"), (3, "tcp-y"), (4, "redis")]
        ports = [{"number": first + n, "name": name} for n, name in named]
        resource = {"name": "ports", "ranges": {"range": [{"begin": first, "end": first + 4}]}}
        return task(id_, ip="", discovery={"ports": {"ports": ports}}, resources=[resource])

    held = state(dynamic("a", 31_000))
    before = held.service(WEB).records[0].service
    expected = {"http": 80, "http-admin": 81, "tls-x": 443, "tcp-y": 10_000, "redis": 6379}
    assert expected == {one.name: one.number for one in before.ports}
    held.apply(added(dynamic("b", 31_500)))
    assert before == held.service(WEB).records[0].service
    assert 10 == len(held.service(WEB).records[0].endpoints)


def test_a_malformed_task_is_left_out_and_named():
    """Its service goes on with the others; without any other it is a fault of the service."""
    bad = task("bad", ports=[(70_000, "http")])
    held = state(task("a", ip="10.0.0.1"), bad, task("c", "api"))
    outcome = held.service(WEB)
    assert (published("web", "10.0.0.1"),) == outcome.records
    assert "the instance 'bad' is left out: 70000 is not a port" in outcome.notes[0]
    held.apply(updated("a", "TASK_KILLED"))
    assert isinstance(held.service(WEB), RecordError)
    assert WEB == held.service(WEB).key
    assert held.service("marathon/api").records


def test_a_message_that_nobody_can_read_is_a_fault_without_a_key():
    """In a listing nothing is removed for it; in the stream a listing is asked for."""
    held = state(task("a"), {"name": "x"}, frameworks=[framework(), {}])
    assert [None, None] == [one.key for one in held.faults]
    assert [WEB] == list(held.services())
    news = held.apply({"type": "TASK_ADDED", "task_added": {"task": {"name": "x"}}})
    assert news.is_to_list
    assert "framework_id is missing" in str(news.faults[0])


def test_an_agent_that_nobody_can_read_hides_nothing():
    """So it keeps no removal back; tasks that need it are named."""
    held = state(task("a", ip="10.0.0.1"), task("b", ip=""), agents=[7])
    assert [] == held.faults
    assert (published("web", "10.0.0.1"),) == held.service(WEB).records
    assert "its agent 'S0': is not known" in held.service(WEB).notes[0]


@pytest.mark.parametrize("what", [7, {"get_tasks": []}, {"get_agents": {"agents": 1}}])
def test_what_is_no_state_is_refused(what):
    """With the question whether this is Mesos."""
    with pytest.raises(RegistryProtocolError, match="is this Mesos"):
        MesosState.listed(CONFIG, what)


class TestNewMaster:
    """A leader that was elected just now knows an agent's tasks when the agent has come back."""

    def kept(self, now, *, before=None, is_other_master=True):
        """What follows a listing, after another."""
        before = before or state(task("a", ip="10.0.0.1"))
        now.keep(before, is_other_master=is_other_master)
        return now

    def test_tasks_of_agents_that_are_not_back_are_kept(self):
        """Also if the registry of the master is empty."""
        held = self.kept(state(agents=[], frameworks=[]))
        assert {AGENT} == held.awaited
        assert ["10.0.0.1"] == addresses(held)
        assert {WEB} == held.release()
        assert {} == held.services()

    def test_the_same_master_is_believed(self):
        """It knows all its agents."""
        held = self.kept(state(agents=[]), is_other_master=False)
        assert (set(), {}) == (held.awaited, held.services())

    def test_an_agent_that_is_back_is_believed(self):
        """What it does not run any more is gone."""
        held = self.kept(state(agents=[agent()]))
        assert (set(), {}) == (held.awaited, held.services())

    def test_an_agent_that_comes_back_asks_for_a_listing(self):
        """Its tasks come in no order that is promised, so nothing is removed before that."""
        held = self.kept(state(agents=[]))
        assert held.apply(agent_added(agent())).is_to_list
        assert ["10.0.0.1"] == addresses(held)
        # The same master lists again: now it is a statement.
        later = self.kept(state(agents=[agent()]), before=held, is_other_master=False)
        assert (set(), {}) == (later.awaited, later.services())

    def test_an_agent_at_the_same_place_is_the_successor(self):
        """Two agents cannot have one address, so the former is gone, in listing and stream."""
        held = self.kept(state(agents=[agent("S9")]))
        assert (set(), {}) == (held.awaited, held.services())
        held = self.kept(state(agents=[]))
        assert {WEB} == held.apply(agent_added(agent("S9"))).touched
        assert (set(), {}) == (held.awaited, held.services())

    def test_agents_are_awaited_over_several_listings_and_masters(self):
        """Each carries on what the last one kept."""
        held = self.kept(state(agents=[]))
        held = self.kept(state(agents=[]), before=held, is_other_master=False)
        held = self.kept(state(agents=[agent("S7", ip="10.9.0.7")]), before=held)
        assert {AGENT} == held.awaited
        assert ["10.0.0.1"] == addresses(held)

    def test_recovered_agents_are_awaited_although_nothing_is_known_of_them(self):
        """Their tasks are still to come; one that the master gives up is awaited no longer."""
        held = state(agents=[], recovered=[{"id": {"value": "S5"}}])
        assert {"S5"} == held.awaited
        held.apply({"type": "AGENT_REMOVED", "agent_removed": {"agent_id": {"value": "S5"}}})
        assert set() == held.awaited

    def test_names_of_frameworks_are_remembered(self):
        """Agents come back before their frameworks do."""
        held = self.kept(state(task("a", ip="10.0.0.1"), frameworks=[]))
        assert ["10.0.0.1"] == addresses(held)

    def test_what_a_task_is_now_counts(self):
        """A task that the new master lists is not kept as it was."""
        now = task("a", ip="10.0.0.9", agent_id={"value": "S1"})
        held = self.kept(state(now, agents=[agent("S1", ip="10.9.0.2")]))
        assert ["10.0.0.9"] == addresses(held)
