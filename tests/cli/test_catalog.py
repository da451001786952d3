"""What the lists of services and sources show that is particular to them."""

from __future__ import annotations

import json

import pytest
import yaml

from meshregistry.cli._catalog import _condition, _lost


class TestIdentity:
    """``services --explain-identity``: what would be united."""

    @pytest.fixture
    def three(self, folder):
        """Three registries that call the services differently."""
        for name, hosts in {
            "k8s": ["reviews.shop", "pay.shop"],
            "consul": ["reviews.service.consul", "pay.other.consul"],
            "eureka": ["reviews"],
        }.items():
            services = [{"host": host, "ports": [{"port": 80}]} for host in hosts]
            (folder / f"{name}.yaml").write_text(yaml.safe_dump({"services": services}))
        (folder / "mesh.yaml").write_text(
            """
            sources:
              - {id: k8s, kind: file, path: k8s.yaml}
              - {id: consul, kind: file, path: consul.yaml}
              - {id: eureka, kind: file, path: eureka.yaml}
            identity:
              templates: [{pattern: "{name}.service.consul", host: "{name}.shop"}]
              aliases: {reviews.shop: [eureka/REVIEWS]}
            """
        )

    def test_shows_the_records_of_each_service_and_the_rule(self, three, run):
        """And what is not one although it looks like it."""
        document = json.loads(run("services", "--explain-identity", "-o", "json").out)
        found = {
            one["host"]: [
                (record["source"], record["host"], record["by"]) for record in one["records"]
            ]
            for one in document["services"]
        }
        assert found["reviews.shop"] == [
            ("k8s", "reviews.shop", ""),
            (
                "consul",
                "reviews.service.consul",
                "identity.templates[0]: {name}.service.consul is {name}.shop",
            ),
            ("eureka", "reviews", "identity.aliases: eureka/REVIEWS is reviews.shop"),
        ]
        assert document["near_misses"] == [
            {"name": "pay", "services": ["pay.other.consul", "pay.shop"]}
        ]

    def test_the_table_has_a_row_for_each_record(self, three, run):
        """And one for each near miss."""
        ran = run("services", "--explain-identity")
        assert (0, "") == (ran.code, ran.err)
        assert "identity.aliases: eureka/REVIEWS is reviews.shop" in ran.out
        assert "pay.other.consul, pay.shop" in ran.out


class TestLosses:
    """What `sources` says of a source that is not as it should be."""

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ({}, "SYNCED"),
            ({"is_shadow": True}, "SYNCED, shadow"),
            ({"condition": "STALE", "is_restored": True}, "STALE, snapshot"),
            ({"withheld": 30, "losses": [{}]}, "SYNCED, 30 withheld"),
        ],
    )
    def test_the_condition_has_it(self, words, expected):
        """In the table, so that nobody overlooks it."""
        source = {"condition": "SYNCED", "is_shadow": False, "is_restored": False}
        assert _condition({**source, "losses": [], "withheld": 0, **words}) == expected

    @pytest.mark.parametrize(
        ("part", "remaining", "who", "end"),
        [("", None, "dc1", ""), ("east", 539.4, "dc1 east", ", in 539 s")],
    )
    def test_a_note_says_how_it_ends(self, part, remaining, who, end):
        """With the command that ends it."""
        loss = {"before": 30, "after": 2, "withheld": 28, "age": 61.2}
        assert _lost("dc1", {**loss, "part": part, "remaining": remaining}) == (
            f"warning: {who}: 2 of 30 healthy endpoints are left since 61 s; 28 are served all "
            f"the same until they are back{end}, or until the loss is accepted: "
            "meshregistry sources accept dc1"
        )
