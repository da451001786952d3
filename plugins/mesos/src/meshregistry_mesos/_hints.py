"""What an event of Marathon says must be read again. Pure.

Marathon promises no order of its events, so that they are hints and no news.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry_mesos._reading import a_list, a_text, an_object

if TYPE_CHECKING:
    from meshregistry_mesos._sse import ServerEvent

ATTACHED = "event_stream_attached"
"""The event that tells that a stream has begun; those of other streams tell it, too."""

_BY_APP = frozenset(
    {
        "status_update_event",
        "health_status_changed_event",
        "app_terminated_event",
        "unhealthy_task_kill_event",
        "unhealthy_instance_kill_event",
    }
)
_BY_SPEC = frozenset(
    {
        "instance_changed_event",
        "instance_health_changed_event",
        "unknown_instance_terminated_event",
    }
)
_PODS = frozenset({"pod_created_event", "pod_updated_event", "pod_deleted_event"})
_DEPLOYMENTS = frozenset(
    {
        "deployment_info",
        "deployment_success",
        "deployment_failed",
        "deployment_step_success",
        "deployment_step_failure",
    }
)
_ALL = frozenset({"group_change_success"})

EVENTS = tuple(
    sorted({ATTACHED, "api_post_event"} | _BY_APP | _BY_SPEC | _PODS | _DEPLOYMENTS | _ALL)
)
"""Every event that matters, for the filter of the stream."""

_PODS_PATH = "/v2/pods/"


@frozen
class Hint:
    """What to read again.

    Attributes:
        ids: of apps and pods.
        is_all: whether that is everything.
    """

    ids: frozenset[str] = frozenset()
    is_all: bool = False


NOTHING = Hint()
EVERYTHING = Hint(is_all=True)


def hint(event: ServerEvent) -> Hint:
    """What an event is about; one of a kind that we know and cannot read is about everything."""
    if event.name not in EVENTS or event.name == ATTACHED:
        return NOTHING
    try:
        ids = _ids(event.name, json.loads(event.data))
    except ValueError:
        return EVERYTHING
    return Hint(frozenset(ids)) if ids and all(ids) else EVERYTHING


def _ids(name: str, said: Any) -> set[str]:
    if name in _BY_APP:
        return {a_text(said, "appId")}
    if name in _BY_SPEC:
        return {a_text(said, "runSpecId")}
    if name == "api_post_event":
        return {a_text(an_object(said, "appDefinition"), "id")}
    if name in _PODS:
        uri = a_text(said, "uri")
        return (
            {f"/{uri.removeprefix(_PODS_PATH).strip('/')}"} if uri.startswith(_PODS_PATH) else set()
        )
    if name in _DEPLOYMENTS:
        actions = [
            action
            for step in a_list(an_object(said, "plan"), "steps")
            for action in a_list(step, "actions")
        ]
        return {a_text(action, "app") or a_text(action, "pod") for action in actions}
    return set()
