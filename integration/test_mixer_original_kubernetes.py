"""Who is behind an address: the original watches a cluster, ours asks a pilot that follows it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from meshregistry import Pilot, Settings
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.server import MixerServer
from mixer_both import Asker, documents, manifest
from servers.kubernetes import Kubernetes, missing_program
from servers.original_mixer import OriginalMixer

pytest.importorskip(
    "meshregistry_kubernetes",
    reason="the plugin is not installed: pip install -e plugins/kubernetes",
)

_ABSENT = missing_program()
pytestmark = pytest.mark.skipif(
    _ABSENT is not None, reason=f"there is no {_ABSENT}: `make integration` builds it"
)

HTTP = [{"name": "http", "port": 80, "targetPort": 8080}]
SIDES = ("source", "destination")
# What an attribute is called, after the side, and after ``$out.`` and the side.
FOUND = {
    "uid": "pod_uid",
    "name": "pod_name",
    "namespace": "namespace",
    "owner": "owner",
    "serviceAccount": "service_account_name",
    "workload.uid": "workload_uid",
    "workload.name": "workload_name",
    "workload.namespace": "workload_namespace",
}
TYPES = {
    "context.reporter.kind": "STRING",
    **{f"{side}.{name}": "STRING" for side in SIDES for name in FOUND},
    **{f"{side}.ip": "IP_ADDRESS" for side in SIDES},
    **{f"{side}.labels": "STRING_MAP" for side in SIDES},
}


def configured(params: dict[str, Any]) -> str:
    """Documents that find out about both sides, and say it in headers."""
    bindings = {
        f"{side}.{name}": f'$out.{side}_{output} | "none"'
        for side in SIDES
        for name, output in FOUND.items()
    } | {f"{side}.labels": f"$out.{side}_labels | emptyStringMap()" for side in SIDES}
    asked = {f"{side}_uid": f'{side}.uid | ""' for side in SIDES} | {
        f"{side}_ip": f'{side}.ip | ip("0.0.0.0")' for side in SIDES
    }
    said = [f"{side}.{name}" for side in SIDES for name in FOUND]
    headers = [{"name": f"x-{name.lower()}", "values": [name]} for name in said] + [
        {"name": f"x-{side}-{label}", "values": [f'{side}.labels["{label}"]']}
        for side in SIDES
        for label in ("app", "version")
    ]
    return documents(
        manifest(TYPES),
        ("handler", "k", {"compiledAdapter": "kubernetesenv", "params": params}),
        (
            "instance",
            "i",
            {"compiledTemplate": "kubernetes", "params": asked, "attributeBindings": bindings},
        ),
        ("rule", "find", {"actions": [{"handler": "k", "instances": ["i"]}]}),
        ("rule", "say", {"match": "true", "requestHeaderOperations": headers}),
    )


async def until(holds: Any) -> Any:
    """What a coroutine function gives as soon as it gives something."""
    async with asyncio.timeout(30):
        while not (found := await holds()):
            await asyncio.sleep(0.02)
    return found


def test_the_same_workloads_are_found(original, tmp_path, run_async):
    """By address and by uid: a pod of a deployment, one of nobody, and who is unknown."""

    async def main():
        async with AsyncExitStack() as stack:
            cluster = await stack.enter_async_context(Kubernetes(tmp_path / "k"))
            await cluster.node("n1")
            for name in ("web", "solo"):
                await cluster.service(name, ports=HTTP)
            await cluster.deployment("web")
            await cluster.pod("solo", "10.244.0.2", app="solo", version="v1")

            async def made():
                pods = await cluster.call("GET", "/api/v1/namespaces/default/pods")
                names = {one["metadata"]["name"] for one in pods["items"]} - {"solo"}
                return names.pop() if names else None

            pod = await until(made)
            await cluster.run(pod, "10.244.0.1")
            kubeconfig = str(cluster.kubeconfig())
            source = {"id": "k", "kind": "kubernetes", "kubeconfig": kubeconfig}
            settings = {"sources": [source], "server": {"xds": "127.0.0.1:0"}}
            pilot = await stack.enter_async_context(Pilot(Settings.from_dict(settings)))

            for name, params in (("theirs", {"kubeconfigPath": kubeconfig}), ("ours", {})):
                (tmp_path / name).mkdir()
                (tmp_path / name / "x.yaml").write_text(configured(params))
            theirs = await stack.enter_async_context(
                OriginalMixer(original, tmp_path / "theirs", tmp_path)
            )
            ours = await stack.enter_async_context(
                MixerServer(
                    "127.0.0.1:0",
                    config=tmp_path / "ours",
                    adapters=ADAPTERS,
                    services={"catalog": lambda: pilot.catalog},
                    cache_size=0,
                )
            )
            assert () == ours.status().faults
            askers = [await stack.enter_async_context(Asker(one.address)) for one in (theirs, ours)]

            async def found(**more):
                bag = {name.replace("_", "."): value for name, value in more.items()}
                return [said(await one.check(bag)) for one in askers]

            web, solo = bytes([10, 244, 0, 1]), bytes([10, 244, 0, 2])

            async def is_followed():
                both = await found(source_ip=web, destination_ip=solo)
                names = ("x-source.workload.name", "x-destination.workload.name")
                return all(one[name] != "none" for one in both for name in names) and both

            first = await until(is_followed)
            assert first[0] == first[1]
            for bag in (
                {"source_ip": solo, "destination_ip": web},
                {"source_uid": f"kubernetes://{pod}.default"},
                {"destination_uid": "kubernetes://solo.default"},
                {"source_ip": bytes([10, 244, 0, 9])},
                {"source_uid": "kubernetes://nobody.default"},
                {},
            ):
                both = await found(**bag)
                assert both[0] == both[1], bag

    run_async(main(), timeout=120)


def said(answer: Any) -> dict[str, str]:
    """The headers of a route directive."""
    names = [line.split('"')[1] for line in answer.route.splitlines() if " name: " in line]
    values = [line.split('"')[1] for line in answer.route.splitlines() if " value: " in line]
    return dict(zip(names, values, strict=True))
