"""Documents as installations of the original have them."""

from __future__ import annotations

from typing import Literal

import pytest
from attrs import field, frozen

from meshregistry.documents import RuleUnit, structure
from meshregistry.mixer._nodes import renamed_for
from meshregistry.mixer.adapters import ADAPTERS
from meshregistry.mixer.config import Known, snapshot
from meshregistry.mixer.spi import TEMPLATES

LEVEL = Literal["INFO", "WARNING", "ERROR"]


@frozen(kw_only=True)
class Parameters:
    """What an adapter may be told."""

    text: str = ""
    level: LEVEL = "INFO"
    perhaps: LEVEL | None = None
    by_name: dict[str, LEVEL] = field(factory=dict)
    several: tuple[bool, ...] = ()
    is_on: bool | None = None
    count: int = 0


def structured(text):
    """Parameters of a document."""
    (document,) = RuleUnit.of_text(
        "x.yaml", f"apiVersion: v1\nkind: x\nmetadata: {{name: x}}\nspec: {text}\n"
    ).documents
    return structure(renamed_for(document.root.get("spec"), Parameters), Parameters)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("{level: 1}", Parameters(level="WARNING")),
        ("{perhaps: 2}", Parameters(perhaps="ERROR")),
        ("{byName: {a: 0, b: ERROR}}", Parameters(by_name={"a": "INFO", "b": "ERROR"})),
        ("{isOn: yes}", Parameters(is_on=True)),
        ("{isOn: Off}", Parameters(is_on=False)),
        ("{several: [on, n, true]}", Parameters(several=(True, False, True))),
        ("{text: no, count: 1}", Parameters(text="no", count=1)),
        ("{text: 1}", Parameters(text="1")),
    ],
)
def test_choices_by_number_and_truth_values_of_yaml_1_1(text, parameters):
    """Where a choice or a truth value is expected; a text stays one."""
    assert parameters == structured(text)


@pytest.mark.parametrize("text", ["{level: 3}", "{level: -1}", "{level: '1'}", "{isOn: 'yes'}"])
def test_what_is_neither(text):
    """Numbers of no choice, and what is quoted."""
    with pytest.raises(Exception, match=r"is not one of the choices|must be true or false"):
        structured(text)


@pytest.mark.parametrize(
    ("kind", "name", "is_passed_over"),
    [
        ("adapter", "denier", True),
        ("adapter", "listchecker", True),
        ("adapter", "circonus", True),
        ("adapter", "mine", False),
        ("template", "metric", True),
        ("template", "servicecontrolreport", True),
        ("template", "mine", False),
    ],
)
def test_descriptions_of_what_is_built_in_are_passed_over(kind, name, is_passed_over):
    """An installation has one for every adapter and template; of others it is said that we have none."""
    text = (
        f"apiVersion: config.istio.io/v1alpha2\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: istio-system}}\n"
        "spec: {description: x, session_based: true, templates: [metric], config: CvD3}\n"
    )
    faults = []
    snapshot(RuleUnit.of_text("x.yaml", text).documents, Known.of(ADAPTERS, TEMPLATES), faults)
    assert is_passed_over == (not faults)
