"""Facts of Marathon's events: what each says must be read again."""

from __future__ import annotations

import json

import pytest

from meshregistry_mesos._hints import EVENTS, EVERYTHING, NOTHING, Hint, hint
from meshregistry_mesos._sse import ServerEvent

PLAN = {
    "id": "d",
    "steps": [
        {"actions": [{"action": "ScaleApplication", "app": "/web"}]},
        {"actions": [{"action": "StartPod", "pod": "/pod"}]},
    ],
}


def about(name, **said):
    """The hint of an event."""
    return hint(ServerEvent(name, json.dumps({"eventType": name, **said})))


@pytest.mark.parametrize(
    ("name", "said", "ids"),
    [
        ("status_update_event", {"appId": "/shop/web"}, {"/shop/web"}),
        ("health_status_changed_event", {"appId": "/web", "alive": False}, {"/web"}),
        ("app_terminated_event", {"appId": "/web"}, {"/web"}),
        ("instance_changed_event", {"runSpecId": "/web"}, {"/web"}),
        ("instance_health_changed_event", {"runSpecId": "/web", "healthy": None}, {"/web"}),
        ("unknown_instance_terminated_event", {"runSpecId": "/web"}, {"/web"}),
        ("api_post_event", {"appDefinition": {"id": "/web"}}, {"/web"}),
        ("pod_updated_event", {"uri": "/v2/pods/shop/web"}, {"/shop/web"}),
        ("pod_deleted_event", {"uri": "/v2/pods//web"}, {"/web"}),
        ("deployment_success", {"plan": PLAN}, {"/web", "/pod"}),
        ("deployment_step_success", {"plan": PLAN, "currentStep": {}}, {"/web", "/pod"}),
    ],
)
def test_an_event_names_apps_and_pods(name, said, ids):
    """By the field that its kind has for them."""
    assert Hint(frozenset(ids)) == about(name, **said)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("group_change_success", {"groupId": "/shop"}),
        ("status_update_event", {}),
        ("deployment_success", {}),
        ("pod_created_event", {"uri": "/v2/pods"}),
        ("instance_changed_event", {"runSpecId": 7}),
    ],
)
def test_an_event_that_names_none_is_about_everything(name, said):
    """Groups, and what we cannot read of the kinds that we know."""
    assert EVERYTHING == about(name, **said)


def test_an_event_that_is_no_json_is_about_everything():
    """If its kind matters."""
    assert EVERYTHING == hint(ServerEvent("status_update_event", "{"))
    assert NOTHING == hint(ServerEvent("another", "{"))


@pytest.mark.parametrize("name", ["event_stream_attached", "framework_message_event", "new_event"])
def test_other_events_are_about_nothing(name):
    """Greetings and kinds that we do not know."""
    assert NOTHING == about(name)


def test_the_filter_of_the_stream_lets_the_greeting_in():
    """Or a stream would never begin."""
    assert "event_stream_attached" in EVENTS
