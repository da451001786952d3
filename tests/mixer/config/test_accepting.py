"""What is wrong keeps its last good version in force."""

from __future__ import annotations

import pytest
from attrs import frozen

from meshregistry.documents import RuleUnit
from meshregistry.mixer.config import Configurator, Known
from meshregistry.mixer.spi import CHECK_NOTHING as CHECKS
from meshregistry.mixer.spi import TEMPLATES, Handler, MixerAdapter, Variety


@frozen(kw_only=True)
class Config:
    """One word."""

    word: str = ""


ADAPTER = MixerAdapter(
    name="double",
    config_class=Config,
    templates=(CHECKS,),
    open=lambda _config, _context: Handler(),
)
TEXT = """
apiVersion: config.istio.io/v1alpha2
kind: double
metadata: {name: h, namespace: istio-system}
spec: {word: WORD}
---
apiVersion: config.istio.io/v1alpha2
kind: checknothing
metadata: {name: i, namespace: istio-system}
spec:
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: r, namespace: istio-system}
spec: {match: MATCH, actions: [{handler: h.double, instances: [i.checknothing]}]}
"""


@pytest.fixture
def build():
    """Builds one configuration after the other from a word and a condition."""
    configurator = Configurator(Known.of([ADAPTER], TEMPLATES))

    def built(word="one", match="request.path == `/`", text=TEXT):
        unit = RuleUnit.of_text("f.yaml", text.replace("WORD", word).replace("MATCH", match))
        assert unit.faults == ()
        return configurator.build(unit.documents)

    return built


def sent(accepted):
    """What is sent where: the word of the handler and the text of the condition."""
    return [
        (destination.plan.config.word, one.match.text)
        for destination in accepted.snapshot.default.destinations.get(Variety.CHECK, ())
        for one in destination.sent
    ]


class TestConfigurator:
    """From one version of the documents to the next."""

    def test_a_good_change_is_in_force(self, build):
        """At once."""
        assert sent(build()) == [("one", "request.path == `/`")]
        assert sent(build(word="two")) == [("two", "request.path == `/`")]

    @pytest.mark.parametrize(
        ("change", "kind"),
        [({"match": "request.pth == `/`"}, "rule"), ({"word": "[a]"}, "double")],
    )
    def test_a_bad_change_keeps_the_last_good_version(self, build, change, kind):
        """Of this document; the others change all the same, and the fault is told."""
        build()
        accepted = build(**{"word": "two", "match": "request.path == `/2`"} | change)
        assert [one.kind for one in accepted.kept] == [kind]
        assert len(accepted.faults) == 1
        expected = (
            ("two", "request.path == `/`") if kind == "rule" else ("one", "request.path == `/2`")
        )
        assert sent(accepted) == [expected]

    def test_it_is_kept_as_long_as_it_is_bad(self, build):
        """And replaced by the next good one."""
        build()
        for _ in range(2):
            assert sent(build(match="nope")) == [("one", "request.path == `/`")]
        assert sent(build(match="request.path == `/3`")) == [("one", "request.path == `/3`")]

    def test_what_was_never_good_is_left_out(self, build):
        """And told."""
        accepted = build(match="nope")
        assert (sent(accepted), accepted.kept, len(accepted.faults)) == ([], (), 1)

    def test_what_is_gone_is_gone(self, build):
        """A document that is deleted is not kept."""
        build()
        handler, instance, _ = TEXT.split("---")
        assert sent(build(text=f"{handler}---{instance}")) == []
