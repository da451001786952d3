"""Environment of meshregistry.dev: a test environment in one short document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import NOTHING, frozen
from attrs.validators import min_len

from meshregistry.documents import MappingNode
from meshregistry.model import Labels
from meshregistry.rules._environments import Environment
from meshregistry.rules._forms import Reader, works
from meshregistry.rules._istio_virtual_service import named_matches
from meshregistry.rules._matches import HttpMatch

if TYPE_CHECKING:
    from meshregistry.documents import RuleDocument
    from meshregistry.rules._reading import Reading

_BASELINE = "baseline"


@frozen(kw_only=True)
class ConditionForm:
    """What tells the requests of an environment; all of it must hold."""

    headers: Any = works("by lower-case name; an empty match: is present")
    without_headers: Any = works("must not match", alias="withoutHeaders")
    query_params: Any = works("by name; an empty match: is present", alias="queryParams")


@frozen(kw_only=True)
class EnvironmentForm:
    """An environment."""

    match: Any = works("of its requests", form=ConditionForm, default=NOTHING)
    label: str = works("key of its endpoints' label", default="env", validator=min_len(1))
    value: str = works("of the label; default: the document's name", default="")
    fallback: str = works(
        "environment for services that it lacks; default: baseline, the endpoints of none",
        default=_BASELINE,
        validator=min_len(1),
    )


def environment(document: RuleDocument, domain: str) -> Reading:
    """Read an Environment."""
    reader = Reader(document, domain)
    spec = document.root.get("spec")
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec:")
        return reader.result(tuple)
    form = reader.form(spec, EnvironmentForm)
    condition = None if form is None else reader.form(form.match, ConditionForm)
    if form is None or condition is None:
        return reader.result(tuple)
    match = HttpMatch(
        headers=(
            *named_matches(reader, condition.headers, is_header=True),
            *named_matches(reader, condition.without_headers, is_header=True, is_inverted=True),
        ),
        query=tuple(named_matches(reader, condition.query_params)),
    )
    key = document.key
    if match.is_catch_all and not reader.errors:
        reader.fail(
            form.match, "every request would be in it", "write headers: {x-env: {exact: …}}"
        )
    if key.name in (_BASELINE, form.fallback):
        reader.fail(
            (spec.get("fallback") if isinstance(spec, MappingNode) else None) or spec,
            f"{key.name} cannot fall back to itself; baseline is all that is in no environment",
            "give it another name or fallback",
        )
    return reader.result(
        lambda: (
            Environment(
                namespace=key.namespace,
                name=key.name,
                match=match,
                labels=Labels({form.label: form.value or key.name}),
                fallback="" if form.fallback == _BASELINE else form.fallback,
                created=document.created,
                origin=reader.origin(document.root),
            ),
        )
    )
