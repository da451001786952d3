"""The store: which services a change touches, in whatever order things come."""

from __future__ import annotations

from fake_api_server import endpoint, node, pod, service, slice_
from hypothesis import given, settings
from hypothesis import strategies as st

from meshregistry_kubernetes._convert import Conversion
from meshregistry_kubernetes._keeping import KEEPERS
from meshregistry_kubernetes._store import Gone, Store

WAIT = 2.0


def store(**options):
    """A store that waits for pods."""
    conversion = Conversion(domain="cluster.local", trust_domain="cluster.local")
    return Store(conversion, **{"pod_wait": WAIT, **options})


def put(one, resource, document):
    """As the list-watch does it."""
    one.put(resource, KEEPERS[resource](document))


def taken(one, now=0.0):
    """Key to the number of endpoints, or None without record."""
    return {
        outcome.key: None if isinstance(outcome, Gone) else len(outcome.endpoints)
        for outcome in one.take(now)
    }


class TestTouching:
    def test_only_what_has_changed_is_taken(self):
        """Equal objects, and objects of services that are not concerned, touch nothing."""
        one = store()
        put(one, "services", service("a"))
        put(one, "services", service("b"))
        assert {"default/a": 0, "default/b": 0} == taken(one)
        put(one, "services", service("a"))
        assert {} == taken(one)
        put(one, "endpointslices", slice_("b", endpoint("10.0.0.1")))
        assert {"default/b": 1} == taken(one)

    def test_pods_and_nodes_touch_the_services_that_run_on_them(self):
        """A relabelled node moves all its endpoints; others stay."""
        one = store()
        for name in ("a", "b"):
            put(one, "services", service(name))
            put(
                one,
                "endpointslices",
                slice_(name, endpoint(f"10.0.0.{ord(name)}", f"p{name}", name)),
            )
        put(one, "pods", pod("pa"))
        put(one, "pods", pod("pb"))
        assert {"default/a": 1, "default/b": 1} == taken(one)
        put(one, "nodes", node("a"))
        assert {"default/a": 1} == taken(one)
        put(one, "pods", pod("pb", version="v2"))
        assert {"default/b": 1} == taken(one)
        put(one, "pods", pod("nobody"))
        assert {} == taken(one)

    def test_a_listing_removes_what_it_lacks_in_its_namespace_only(self):
        """Each namespace is listed by itself."""
        one = store()
        for namespace in ("x", "y"):
            put(one, "services", service("a", namespace))
        taken(one)
        one.replace("services", "x", [])
        assert {"x/a": None} == taken(one)
        one.replace("services", "", [])
        assert {"y/a": None} == taken(one)

    def test_a_slice_may_change_its_service(self):
        """Its label decides, never its name."""
        one = store()
        put(one, "services", service("a"))
        put(one, "services", service("b"))
        document = slice_("a", endpoint("10.0.0.1"))
        put(one, "endpointslices", document)
        taken(one)
        document["metadata"]["labels"] = {"kubernetes.io/service-name": "b"}
        put(one, "endpointslices", document)
        assert {"default/a": 0, "default/b": 1} == taken(one)

    def test_only_services_of_selected_namespaces_have_records(self):
        """A namespace that enters or leaves the selection takes its services along."""
        one = store(selects_namespaces=True)
        put(one, "services", service("a"))
        assert {"default/a": None} == taken(one)
        put(one, "namespaces", {"metadata": {"name": "default"}})
        assert {"default/a": 0} == taken(one)
        one.remove("namespaces", ("", "default"))
        assert {"default/a": None} == taken(one)


class TestWaitingForPods:
    def test_an_endpoint_waits_for_its_pod(self):
        """It comes with its labels once the pod is known."""
        one = store()
        put(one, "services", service("a"))
        put(one, "endpointslices", slice_("a", endpoint("10.0.0.1", "p")))
        assert {"default/a": 0} == taken(one)
        assert WAIT == one.next_deadline
        put(one, "pods", pod("p"))
        assert {"default/a": 1} == taken(one, 0.1)
        assert one.next_deadline is None

    def test_but_not_for_ever(self):
        """After a while it comes without labels, and stays."""
        one = store()
        put(one, "services", service("a"))
        put(one, "endpointslices", slice_("a", endpoint("10.0.0.1", "p")))
        taken(one)
        assert {} == taken(one, WAIT / 2)
        assert {"default/a": 1} == taken(one, WAIT)
        put(one, "services", service("a", labels={"x": "y"}))
        assert {"default/a": 1} == taken(one, WAIT + 1)

    def test_a_pod_that_is_gone_takes_no_endpoint_away(self):
        """The slices say who is an endpoint."""
        one = store()
        put(one, "services", service("a"))
        put(one, "endpointslices", slice_("a", endpoint("10.0.0.1", "p")))
        put(one, "pods", pod("p"))
        taken(one)
        one.remove("pods", ("default", "p"))
        assert {} == taken(one)

    def test_a_pod_of_the_same_name_is_another_pod(self):
        """A new identity is waited for, so that no endpoint has a predecessor's labels."""
        one = store()
        put(one, "services", service("a"))
        old = pod("p")
        old["metadata"]["uid"] = "1"
        put(one, "pods", old)
        put(one, "endpointslices", slice_("a", endpoint("10.0.0.1", "p", uid="2")))
        assert {"default/a": 0} == taken(one)
        old["metadata"]["uid"] = "2"
        put(one, "pods", old)
        assert {"default/a": 1} == taken(one)


class TestHolding:
    def test_the_very_object_is_held(self):
        """A probe's object is known by name and identity; nothing is known if nothing is held."""
        one = store()
        assert one.holds("services", "", None, "")
        document = service("a")
        document["metadata"]["uid"] = "1"
        put(one, "services", document)
        assert not one.holds("services", "", None, "")
        assert one.holds("services", "other", None, "")
        assert one.holds("services", "", ("default", "a"), "1")
        assert not one.holds("services", "", ("default", "a"), "2")
        assert not one.holds("services", "", ("default", "b"), "1")


_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["services", "endpointslices", "pods", "nodes"]),
        st.sampled_from("ab"),
        st.sampled_from(["put", "other", "remove"]),
        # A pod that is gone leaves its labels until its slice changes, too.
    ).filter(lambda change: (change[0], change[2]) != ("pods", "remove")),
    max_size=12,
)


def _document(resource, name, *, other):
    match resource:
        case "services":
            return service(name, labels={"other": "yes"} if other else {})
        case "endpointslices":
            pods = ("a", "b") if other else (name,)
            return slice_(name, *(endpoint(f"10.0.0.{ord(p)}", p, p) for p in pods))
        case "pods":
            return pod(name, version="v2" if other else "v1")
    return node(name, topology_kubernetes_io__zone="z2" if other else "z1")


@settings(max_examples=100, deadline=None)
@given(_CHANGES)
def test_the_order_of_changes_does_not_matter(changes):
    """What was taken step by step is what a store with the final objects says at once."""
    one, held, final = store(pod_wait=None), {}, {}
    for resource, name, change in changes:
        if change == "remove":
            key = (
                "" if resource == "nodes" else "default",
                name + ("-1" if "slices" in resource else ""),
            )
            one.remove(resource, key)
            final.pop((resource, name), None)
        else:
            final[resource, name] = _document(resource, name, other=change == "other")
            put(one, resource, final[resource, name])
        held |= {outcome.key: outcome for outcome in one.take(0.0)}
    fresh = store(pod_wait=None)
    for (resource, _), document in final.items():
        put(fresh, resource, document)
    expected = {outcome.key: outcome for outcome in fresh.take_all(0.0)}
    assert {key: one for key, one in expected.items() if not isinstance(one, Gone)} == {
        key: one for key, one in held.items() if not isinstance(one, Gone)
    }
