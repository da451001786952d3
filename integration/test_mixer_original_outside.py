"""What both servers make of the same things outside: a quota in Redis, a list behind a URL."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from meshregistry.mixer import Code
from mixer_both import both, documents, manifest
from servers.needed import installed
from servers.redis import REDIS, Redis

ATTRIBUTES = manifest(
    {
        "context.reporter.kind": "STRING",
        "destination.namespace": "STRING",
        "source.ip": "IP_ADDRESS",
        "source.name": "STRING",
    }
)


def counted(address, algorithm):
    """A quota in Redis, with an override."""
    limit = {
        "name": "calls.instance.istio-system",
        "maxAmount": 5,
        "validDuration": "3600s",
        "rateLimitAlgorithm": algorithm,
        "overrides": [{"dimensions": {"who": "vip"}, "maxAmount": 7}],
    } | ({"bucketDuration": "1s"} if algorithm == "ROLLING_WINDOW" else {})
    params = {"redisServerUrl": address, "connectionPoolSize": 3, "quotas": [limit]}
    dimensions = {"who": 'source.name | ""', "where": '"x"'}
    return documents(
        ATTRIBUTES,
        ("handler", "h", {"compiledAdapter": "redisquota", "params": params}),
        (
            "instance",
            "calls",
            {"compiledTemplate": "quota", "params": {"dimensions": dimensions}},
        ),
        ("rule", "r", {"actions": [{"handler": "h", "instances": ["calls"]}]}),
    )


@pytest.mark.parametrize("algorithm", ["FIXED_WINDOW", "ROLLING_WINDOW"])
def test_quotas_in_redis_are_answered_alike(original, tmp_path, run_async, algorithm):
    """Amounts and status, for each of two Redis; an id is granted once."""
    redis = installed(REDIS)
    questions = [
        ("ann", 3, False, "a"),
        ("ann", 3, False, "b"),
        ("ann", 3, True, "c"),
        ("ann", 1, True, "d"),
        ("ann", 3, False, "a"),
        ("vip", 7, False, "e"),
        ("vip", 1, False, "f"),
        ("ben", 6, True, "g"),
    ]

    async def main():
        async with AsyncExitStack() as stack:
            folders = []
            for name in ("theirs", "ours"):
                folder = tmp_path / name
                (folder / "config").mkdir(parents=True)
                server = await stack.enter_async_context(Redis(redis, folder))
                text = counted(server.address, algorithm)
                (folder / "config" / "mixer.yaml").write_text(text)
                folders.append(folder / "config")
            servers = await stack.enter_async_context(
                both(original, folders[0], tmp_path, ours=folders[1])
            )
            assert () == servers.ours.status().faults
            granted = []
            for who, amount, is_best_effort, identity in questions:
                answers = await servers.check(
                    {"source.name": who},
                    {"calls": amount},
                    is_best_effort=is_best_effort,
                    deduplication_id=identity,
                )
                theirs, ours = (one.quotas["calls"] for one in answers)
                assert (theirs[0], theirs[2], theirs[3]) == (ours[0], ours[2], ours[3])
                if theirs[0]:
                    assert theirs[1] == pytest.approx(ours[1], abs=5)
                granted.append((ours[0], ours[2]))
            out = (0, Code.RESOURCE_EXHAUSTED)
            assert [(3, 0), out, (2, 0), out, (3, 0), (7, 0), out, (5, 0)] == granted

    run_async(main())


LISTS = {
    "strings": ("STRINGS", "ann\n\n ben \nCID\r\n#dan\n"),
    "folded": ("CASE_INSENSITIVE_STRINGS", "ANN\nben\n"),
    "patterns": ("REGEX", "^a\n\nb$\n"),
    "addresses": ("IP_ADDRESSES", "whitelist: [10.0.0.0/8, 1.2.3.4, 'fd00::/8']\n"),
}
NAMES = (
    "ann",
    "ANN",
    "ben",
    " ben ",
    "CID",
    "CID\r",
    "#dan",
    "dan",
    "",
    "xb",
    "10.1.1.1",
    "1.2.3.5",
)


def fetched(url):
    """A list of each kind from a URL, asked for by namespace."""
    given = [ATTRIBUTES]
    for name, (kind, _) in LISTS.items():
        params = {
            "providerUrl": f"{url}/{name}",
            "entryType": kind,
            "blacklist": True,
            "overrides": ["9.9.9.9"],
        }
        value = {"value": "source.name"}
        given += [
            ("handler", f"h.{name}", {"compiledAdapter": "listchecker", "params": params}),
            ("instance", f"i.{name}", {"compiledTemplate": "listentry", "params": value}),
            ("rule", f"r.{name}", {"actions": [{"handler": "h", "instances": ["i"]}]}),
        ]
    return documents(*given)


def test_lists_behind_a_url_are_read_alike(original, tmp_path, run_async):
    """Lines with blanks, marks and empty ones; addresses as YAML; overrides beside them."""

    async def serve(request):
        return web.Response(text=LISTS[request.match_info["name"]][1])

    async def main():
        app = web.Application()
        app.router.add_get("/{name}", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        folder = tmp_path / "config"
        folder.mkdir()
        (folder / "x.yaml").write_text(fetched(f"http://127.0.0.1:{runner.addresses[0][1]}"))
        try:
            async with both(original, folder, tmp_path) as servers:
                assert () == servers.ours.status().faults
                found = []
                for namespace in LISTS:
                    for name in (*NAMES, "9.9.9.9"):
                        bag = {"destination.namespace": namespace, "source.name": name}
                        found.append((namespace, name, *await servers.check(bag)))
        finally:
            await runner.cleanup()
        assert [
            # Decision 0022: blanks and the ends of lines of other systems are no part of an entry.
            ("strings", "ben", 0, 7),
            ("strings", " ben ", 7, 0),
            ("strings", "CID", 0, 7),
            ("strings", "CID\r", 7, 0),
        ] == [
            (namespace, name, theirs.code, ours.code)
            for namespace, name, theirs, ours in found
            if theirs != ours
        ]
        assert {0, 3, 7} == {answer.code for _, _, answer, _ in found}

    run_async(main())
