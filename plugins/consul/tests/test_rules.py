"""Rules in Consul's key-value store, on answers as Consul gives them."""

from __future__ import annotations

import asyncio
import base64
import contextlib

import pytest

from meshregistry.errors import RegistryAuthError, RegistryProtocolError
from meshregistry.spi import OutgoingDocument
from meshregistry.testing import SystemClock, context
from meshregistry_consul import ConsulConfig, ConsulRulesConfig
from meshregistry_consul._client import Answer, ConsulClient
from meshregistry_consul._index import Cursor
from meshregistry_consul._rules import ConsulRules
from meshregistry_consul._writer import ConsulRuleWriter

ONE = "apiVersion: g/v1\nkind: K\nmetadata: {name: one}\n"


class Client:
    """Gives prepared answers, then waits for ever."""

    def __init__(self, *answers):
        self._answers = iter(answers)
        self.asked = []
        self.done = asyncio.Event()

    async def renew(self):
        """Nothing is kept."""

    async def get(self, path, **options):
        self.asked.append((path, options))
        answer = next(self._answers, None)
        if answer is None:
            self.done.set()
            await asyncio.Event().wait()
        return answer


class Sink:
    """Remembers what it is told."""

    def __init__(self):
        self.told = []

    def replace(self, units):
        self.told.append([unit.name for unit in units])

    def confirm(self):
        self.told.append("confirmed")


def key(name, text):
    """A key with a value, as Consul shows it."""
    value = None if text is None else base64.b64encode(text.encode()).decode()
    return {"Key": name, "Value": value}


def told(run_async, *answers):
    """What the sink is told of some answers, and the client."""
    client, sink = Client(*answers), Sink()
    made = context(client=client, registry_config=ConsulConfig(dc="dc2"), clock=SystemClock())
    rules = ConsulRules(ConsulRulesConfig(prefix="mesh/"), made)

    async def main():
        task = asyncio.create_task(rules.run(sink))
        done = asyncio.create_task(client.done.wait())
        await asyncio.wait({task, done}, return_when=asyncio.FIRST_COMPLETED)
        for one in (done, task):
            one.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run_async(main())
    return sink.told, client


def test_keys_are_places_and_folders_are_not(run_async):
    """One query for all of them; it waits once it has an index."""
    body = [key("mesh/", None), key("mesh/a", ONE), key("mesh/b/", ""), key("mesh/c", ONE)]
    said, client = told(run_async, Answer(body, index=7, digest=b"1"))
    assert said == [["consul:mesh/a", "consul:mesh/c"]]
    (path, first), (_, second) = client.asked
    assert (path, first["dc"], first["is_recursive"]) == ("/v1/kv/mesh/", "dc2", True)
    assert (first["cursor"].index, second["cursor"].index) == (0, 7)


def test_the_same_answer_is_a_confirmation(run_async):
    """The index may have moved for another key's sake."""
    one = Answer([key("mesh/a", ONE)], index=7, digest=b"1")
    said, _ = told(run_async, one, Answer(one.body, index=8, digest=b"1"))
    assert said == [["consul:mesh/a"], "confirmed"]


def test_an_index_that_goes_back_is_asked_again(run_async):
    """Nothing of such an answer counts."""
    one = Answer([key("mesh/a", ONE)], index=7, digest=b"1")
    back = Answer([], index=3, digest=b"2")
    said, client = told(run_async, one, back, Answer(one.body, index=3, digest=b"1"))
    assert said == [["consul:mesh/a"], "confirmed"]
    assert client.asked[2][1]["cursor"].index == 0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer([], index=1, is_filtered=True), RegistryAuthError),
        (Answer([], index=1, hides_by_default=True), RegistryAuthError),
        (Answer({"a": 1}, index=1), RegistryProtocolError),
    ],
)
def test_an_answer_that_may_lack_keys_is_an_error(run_async, answer, error):
    """Rules are not forgotten for it."""
    with pytest.raises(error):
        told(run_async, answer)


def test_a_value_that_is_no_base64_is_a_fault_of_its_key(run_async):
    """Not of the others."""
    said, _ = told(
        run_async, Answer([{"Key": "mesh/a", "Value": "%"}, key("mesh/b", ONE)], index=1)
    )
    assert said == [["consul:mesh/a", "consul:mesh/b"]]


def test_the_first_listing_is_consistent(run_async):
    """A server that has just started lists less than it holds; what follows goes by the option."""

    async def main():
        asked = []

        class Recording(ConsulClient):
            async def _sent(self, method, path, parameters, timeout, **more):
                asked.append({name for name, _ in parameters})
                raise RegistryProtocolError("nobody is asked here")

        client = Recording(ConsulConfig(), context())
        for cursor in (Cursor(), Cursor(5)):
            with pytest.raises(RegistryProtocolError):
                await client.get("/v1/kv/mesh", cursor=cursor, wait=1.0, is_recursive=True)
        with pytest.raises(RegistryProtocolError):
            await client.get("/v1/catalog/services")
        return asked

    first, waiting, services = run_async(main())
    assert ("consistent" in first, "stale" in first) == (True, False)
    assert ("consistent" in waiting, "stale" in waiting) == (False, True)
    assert "stale" in services


def test_a_prefix_names_keys():
    """Nobody means all keys of the store."""
    for wrong in ("", "/", "/mesh/"):
        with pytest.raises(ValueError, match="prefix"):
            ConsulRulesConfig(prefix=wrong)


class Store:
    """Keys that can be changed."""

    def __init__(self):
        self.keys = {}

    async def change(self, method, path, *, dc, body=b""):
        assert dc == "dc2"
        if method == "PUT":
            self.keys[path.removeprefix("/v1/kv/")] = body.decode()
        else:
            del self.keys[path.removeprefix("/v1/kv/")]
        return True

    async def get(self, path, *, dc, is_recursive):
        assert (dc, is_recursive) == ("dc2", True)
        prefix = path.removeprefix("/v1/kv/")
        return Answer([key(one, text) for one, text in self.keys.items() if one.startswith(prefix)])


def test_a_document_is_written_to_a_key_of_its_own(run_async):
    """And taken away again; one whose key begins alike is another."""
    store = Store()
    made = context(client=store, registry_config=ConsulConfig(dc="dc2"), clock=SystemClock())
    writer = ConsulRuleWriter(ConsulRulesConfig(prefix="mesh/"), made)
    one = OutgoingDocument(group="g", version="v1", kind="Drain", name="a", spec={"b": 1})

    async def main():
        assert await writer.put(one) == "consul:mesh/drain-a.yaml"
        assert store.keys == {"mesh/drain-a.yaml": one.text}
        store.keys["mesh/drain-a.yaml.bak"] = "other"
        assert await writer.delete(one)
        assert list(store.keys) == ["mesh/drain-a.yaml.bak"]
        assert not await writer.delete(one)

    run_async(main())
