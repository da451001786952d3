"""An executor over Mesos' v1 HTTP API, on Python's standard library.

It runs nothing: it says TASK_RUNNING of each task that it is given, with what the task's data
(JSON) add to that status, and later whatever the scheduler has it say in a message.
"""

import base64
import http.client
import json
import os
import time
import uuid

END = os.environ["MESOS_AGENT_ENDPOINT"]
# With several agents in one process, each has a path of its own.
PATH = "/" + os.environ["MESOS_SLAVE_PID"].split("@")[0] + "/api/v1/executor"
IDS = {
    "framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
    "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]},
}
HEAD = {"Content-Type": "application/json", "Accept": "application/json"}


def call(body):
    """Send one call; its answer."""
    connection = http.client.HTTPConnection(END)
    connection.request("POST", PATH, json.dumps({**body, **IDS}), HEAD)
    return connection.getresponse()


# Where each task runs: every status has to say it again, or it is that of the agent.
PLACES = {}


def update(task_id, state, **more):
    """Tell the agent of a state of a task."""
    if "container_status" in more:
        PLACES[task_id["value"]] = {"container_status": more["container_status"]}
    status = {
        **PLACES.get(task_id["value"], {}),
        "task_id": task_id,
        "executor_id": IDS["executor_id"],
        "state": state,
        "source": "SOURCE_EXECUTOR",
        "uuid": base64.b64encode(uuid.uuid4().bytes).decode(),
        "timestamp": time.time(),
        **more,
    }
    call({"type": "UPDATE", "update": {"status": status}}).read()


def launch(task):
    """Say that a task runs."""
    more = json.loads(base64.b64decode(task["data"])) if "data" in task else {}
    update(task["task_id"], "TASK_RUNNING", **more)


def events(stream):
    """What the agent says, until it ends."""
    while True:
        size = b""
        while not size.endswith(b"\n"):
            byte = stream.read(1)
            if not byte:
                return
            size += byte
        yield json.loads(stream.read(int(size)))


def main():
    """Serve one agent until it says to stop, or goes away."""
    subscribe = {"unacknowledged_tasks": [], "unacknowledged_updates": []}
    for event in events(call({"type": "SUBSCRIBE", "subscribe": subscribe})):
        if event["type"] == "LAUNCH":
            launch(event["launch"]["task"])
        elif event["type"] == "LAUNCH_GROUP":
            for task in event["launch_group"]["task_group"]["tasks"]:
                launch(task)
        elif event["type"] == "KILL":
            update(event["kill"]["task_id"], "TASK_KILLED")
        elif event["type"] == "MESSAGE":
            said = json.loads(base64.b64decode(event["message"]["data"]))
            update({"value": said.pop("task")}, said.pop("state", "TASK_RUNNING"), **said)
        elif event["type"] == "SHUTDOWN":
            return


if __name__ == "__main__":
    main()
