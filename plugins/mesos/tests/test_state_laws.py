"""A law: what events make of a state is what a listing says afterwards, whatever happened."""

from __future__ import annotations

import json

from fake_mesos import FakeMaster, agent, framework, task
from hypothesis import given
from hypothesis import strategies as st

from meshregistry_mesos import MesosConfig
from meshregistry_mesos._state import MesosState

CONFIG = MesosConfig()
TASKS = st.sampled_from(["t1", "t2", "t3"])
AGENTS = st.sampled_from(["S0", "S1"])
FRAMEWORKS = st.sampled_from(["F0", "F1"])
STATES = st.sampled_from(
    ["TASK_STAGING", "TASK_RUNNING", "TASK_KILLING", "TASK_UNREACHABLE", "TASK_FAILED"]
)
STEPS = st.one_of(
    st.tuples(
        st.just("launch"),
        TASKS,
        st.sampled_from(["web", "api"]),
        AGENTS,
        FRAMEWORKS,
        st.sampled_from([8080, 8081, 70_000]),
    ),
    st.tuples(st.just("update"), TASKS, STATES, st.sampled_from([None, True, False, "malformed"])),
    st.tuples(st.just("agent"), AGENTS, st.sampled_from(["a", "b"])),
    st.tuples(st.just("lose"), AGENTS),
    st.tuples(st.just("framework"), FRAMEWORKS, st.sampled_from(["marathon", "aurora"])),
    st.tuples(st.just("teardown"), FRAMEWORKS),
)


class Cluster(FakeMaster):
    """A master whose events go to a state at once."""

    def __init__(self):
        super().__init__()
        self.frameworks["F1"] = framework("F1", "other")
        self.agents["S1"] = agent("S1", ip="10.9.0.2")
        self.held = MesosState.listed(CONFIG, self.state())
        self.touched = set()

    def send(self, record):
        news = self.held.apply(json.loads(record))
        self.touched |= news.touched

    # --- What may happen; each is nothing where a master would not let it ---------------

    def launch(self, id_, name, agent_id, framework_id, port):
        if id_ in self.tasks or agent_id not in self.agents or framework_id not in self.frameworks:
            return
        ids = {"agent_id": {"value": agent_id}, "framework_id": {"value": framework_id}}
        ip = f"10.0.0.{id_[1:]}"
        self.add(task(id_, name, ip=ip, ports=[(port, "http")], **ids))

    def change(self, id_, state, healthy):
        if id_ in self.tasks:
            self.update(id_, state, **({} if healthy is None else {"healthy": healthy}))

    def register(self, id_, zone):
        known = agent(id_, ip=f"10.9.0.{id_[1:]}", attributes={"zone": zone})
        self.agents[id_] = known
        self.tell("AGENT_ADDED", agent_added={"agent": known})

    def lose(self, id_):
        if self.agents.pop(id_, None) is not None:
            gone = [one for one, its in self.tasks.items() if its["agent_id"]["value"] == id_]
            for one in gone:
                del self.tasks[one]
            self.tell("AGENT_REMOVED", agent_removed={"agent_id": {"value": id_}})

    def rename(self, id_, name):
        kind = "updated" if id_ in self.frameworks else "added"
        self.frameworks[id_] = known = framework(id_, name)
        self.tell(f"FRAMEWORK_{kind.upper()}", **{f"framework_{kind}": {"framework": known}})

    def teardown(self, id_):
        known = self.frameworks.pop(id_, None)
        if known is not None:
            gone = [one for one, its in self.tasks.items() if its["framework_id"]["value"] == id_]
            for one in gone:
                del self.tasks[one]
            info = known["framework_info"]
            self.tell("FRAMEWORK_REMOVED", framework_removed={"framework_info": info})


DOING = {
    "launch": Cluster.launch,
    "update": Cluster.change,
    "agent": Cluster.register,
    "lose": Cluster.lose,
    "framework": Cluster.rename,
    "teardown": Cluster.teardown,
}


def shown(state):
    """What becomes of every service, as far as anything is to be said of it."""
    return {
        key: (one.records, one.notes) if hasattr(one, "records") else str(one)
        for key, one in state.services().items()
        if not hasattr(one, "records") or one.records or one.notes
    }


@given(st.lists(STEPS, max_size=12))
def test_events_lead_where_a_listing_does(steps):
    """And whatever differs from before has been touched."""
    cluster = Cluster()
    for name, *words in steps:
        before = shown(cluster.held)
        cluster.touched.clear()
        DOING[name](cluster, *words)
        now = shown(cluster.held)
        assert shown(MesosState.listed(CONFIG, cluster.state())) == now
        differs = {key for key in before.keys() | now if before.get(key) != now.get(key)}
        assert differs <= cluster.touched


@given(st.lists(STEPS, max_size=12), st.integers(min_value=0, max_value=12))
def test_a_new_master_removes_nothing_before_its_agents_are_back(steps, cut):
    """Whatever happened: with an empty registry it changes no service until they are given up."""
    cluster = Cluster()
    for name, *words in steps[:cut]:
        DOING[name](cluster, *words)
    empty = FakeMaster()
    empty.agents, empty.frameworks = {}, {}
    held = MesosState.listed(CONFIG, empty.state())
    held.keep(cluster.held, is_other_master=True)
    assert shown(cluster.held) == shown(held)
    held.release()
    assert {} == held.services()
