"""``rbac`` allows what roles allow."""

from __future__ import annotations

import asyncio

import pytest

from meshregistry.mixer.spi import Action, Authorization, Code, Subject

INSTANCES = ("a: authorization {}",)
ROLE = """
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRole
metadata: {name: reader, namespace: shop}
spec:
  rules:
  - services: [books.shop, "*.api"]
    methods: [GET, HEAD]
    paths: [/books, "/books/*"]
    constraints: [{key: version, values: [v1, "v2*"]}]
"""
BINDING = """
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: readers, namespace: shop}
spec:
  subjects:
  - {user: ann, properties: {team: core}}
  - {group: staff}
  roleRef: {kind: ServiceRole, name: reader}
"""
ACTION = {
    "namespace": "shop",
    "service": "books.shop",
    "method": "GET",
    "path": "/books/1",
    "properties": {"version": "v2.1"},
}
ANN = Subject(user="ann", properties={"team": "core"})


def asking(subject=ANN, **action):
    """An instance."""
    return Authorization(subject=subject, action=Action(**{**ACTION, **action}))


@pytest.fixture
def allowed(adapters, run_async, tmp_path):
    """Whether documents allow something."""

    def ask(instance, text=ROLE + BINDING):
        (tmp_path / "roles").mkdir(exist_ok=True)
        (tmp_path / "roles" / "roles.yaml").write_text(text, encoding="utf-8")

        async def main():
            async with adapters.running("rbac", "{configStoreUrl: 'fs:roles'}", INSTANCES) as (
                handler,
                _,
            ):
                return await handler.check(instance)

        return run_async(main())

    return ask


@pytest.mark.parametrize(
    "instance",
    [
        asking(),
        asking(path="/books", method="HEAD"),
        asking(service="orders.api"),
        asking(Subject(groups="staff")),
        asking(properties={"version": "v1", "other": 3}),
    ],
)
def test_what_a_role_allows(allowed, instance):
    """Whoever has it; clients may keep the answer for a minute."""
    answer = allowed(instance)
    assert answer.status.is_ok
    assert (60.0, 1_000_000_000) == (answer.valid_duration, answer.valid_use_count)


@pytest.mark.parametrize(
    "instance",
    [
        asking(namespace="other"),
        asking(namespace=""),
        asking(service=""),
        asking(service="api"),
        asking(method="POST"),
        asking(method=""),
        asking(path="/bookshelf"),
        asking(path=""),
        asking(properties={}),
        asking(properties={"version": "v3"}),
        asking(Subject(user="ann")),
        asking(Subject(user="ann", properties={"team": "other"})),
        asking(Subject(user="ben", properties={"team": "core"})),
        asking(Subject(groups="staff,others")),
        asking(Subject()),
    ],
)
def test_everything_else_is_denied(allowed, instance):
    """Also what is not said."""
    answer = allowed(instance)
    assert Code.PERMISSION_DENIED == answer.status.code
    assert "RBAC: permission denied." == answer.status.message
    assert 60.0 == answer.valid_duration


def test_without_paths_every_path_is_meant(allowed):
    """But one there must be."""
    text = ROLE.replace('    paths: [/books, "/books/*"]\n', "") + BINDING
    assert allowed(asking(path="/x"), text).status.is_ok
    assert not allowed(asking(path=""), text).status.is_ok


def test_everybody_is_a_star(allowed):
    """Whoever it is, also nobody."""
    text = ROLE + BINDING.replace("{group: staff}", "{user: '*'}")
    assert allowed(asking(Subject()), text).status.is_ok


def test_a_binding_to_nobody_is_refused(allowed, caplog):
    """The original took it for everybody."""
    text = ROLE + BINDING.replace("{group: staff}", "{}")
    assert not allowed(asking(Subject(user="eve")), text).status.is_ok
    assert "names nobody" in caplog.text


def test_a_word_that_is_not_known_takes_a_document_out(allowed, caplog):
    """One that would restrict must not be passed over."""
    text = ROLE.replace("    methods", "    not_methods: [DELETE]\n    methods") + BINDING
    assert not allowed(asking(), text).status.is_ok
    assert "unknown key" in caplog.text


def test_documents_are_followed(adapters, run_async, tmp_path):
    """A change counts, a broken one leaves what was; unreadable ones, too."""
    file = tmp_path / "roles.yaml"
    file.write_text(ROLE + BINDING, encoding="utf-8")

    async def main():
        params = "{configStoreUrl: 'fs:roles.yaml', refreshInterval: 1s}"
        async with adapters.running("rbac", params, INSTANCES) as (handler, context):

            async def is_allowed(counter="reads"):
                before = context.counts[counter]
                await context.clock.advance(1)
                while before == context.counts[counter]:  # noqa: ASYNC110 - the handler's task reads
                    await asyncio.sleep(0.001)
                return (await handler.check(asking())).status.is_ok

            file.write_text(ROLE.replace("GET, HEAD", "PUT") + BINDING, encoding="utf-8")
            assert not await is_allowed()
            file.write_text(ROLE + BINDING, encoding="utf-8")
            assert await is_allowed()
            file.write_text(ROLE.replace("methods", "methodes") + BINDING, encoding="utf-8")
            assert await is_allowed()
            file.write_text("a: [", encoding="utf-8")
            assert await is_allowed()
            file.unlink()
            assert await is_allowed("failed_reads")

    run_async(main())


def test_a_folder_that_is_not_there_fails_the_start(adapters, run_async):
    """Nobody is let in because of a misspelt path."""

    async def main():
        handler, _ = adapters.open("rbac", "{configStoreUrl: 'fs:nowhere'}", INSTANCES)
        with pytest.raises(FileNotFoundError):
            await handler.start()
        await handler.close()

    run_async(main())


def test_other_stores_are_refused(adapters):
    """There is no watch on a cluster in an adapter."""
    plan, faults = adapters.plan("rbac", "{configStoreUrl: 'k8s://'}", INSTANCES)
    assert plan is None
    assert faults == [
        (
            "spec.params.configStoreUrl: 'k8s://' cannot be read; put the documents into a folder "
            "and write fs:///path"
        )
    ]
