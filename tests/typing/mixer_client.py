"""Type-checked, never run: the client of Mixer in programs of one's own."""

from __future__ import annotations

from typing import assert_type

from meshregistry import mixer
from meshregistry.mixer import (
    AttributeBag,
    CheckResult,
    ClientOptions,
    FailPolicy,
    MixerClient,
    MixerTls,
    ThreadedMixerClient,
    Value,
    ValueType,
    vocabulary,
)


async def asynchronous() -> None:
    """Check before, report after."""
    options = ClientOptions(fail_policy=FailPolicy.CLOSED, timeout=0.5)
    manifest = vocabulary.STANDARD.extended({"my.tenant": ValueType.STRING})
    tls = MixerTls(ca="ca.pem", server_name="mixer")
    async with MixerClient("mixer:9091", tls=tls, options=options, manifest=manifest) as client:
        attributes = {vocabulary.REQUEST_PATH: "/orders", "my.tenant": "blue"}
        result = await client.check(attributes, quotas={"orders": 1})
        assert_type(result, CheckResult)
        assert_type(result.is_allowed, bool)
        client.report({**attributes, **result.attributes})


def threaded(bag: AttributeBag) -> int:
    """The same for threads."""
    assert_type(bag.get("request.path"), Value | None)
    with ThreadedMixerClient(["one:9091", "two:9091"]) as client:
        result = client.check(bag, fail_policy=FailPolicy.RAISE)
        assert_type(result, CheckResult)
        client.report(bag.updated(result.attributes))
        return result.http_code


def a_name_that_there_is_not() -> None:
    """Checkers find it, although names are imported when they are used."""
    print(mixer.NoSuchName)  # type: ignore[attr-defined]  # what is shown
