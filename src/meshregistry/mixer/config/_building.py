"""From specs to a snapshot: references resolved, expressions compiled, parameters checked.

What is wrong is left out and reported, and so is what needs it; the rest is in force.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from meshregistry.documents import ScalarNode, attempt
from meshregistry.errors import ConfigError
from meshregistry.mixer import vocabulary
from meshregistry.mixer._attributes import ValueType
from meshregistry.mixer._manifest import Manifest
from meshregistry.mixer._nodes import renamed_for
from meshregistry.mixer.config._checking import checked
from meshregistry.mixer.config._fields import Written, expression
from meshregistry.mixer.config._instances import OUTPUTS, Builder, builder
from meshregistry.mixer.config._reading import Known, read, versions
from meshregistry.mixer.config._snapshot import (
    Destination,
    HandlerPlan,
    HeaderPlan,
    Rules,
    Sent,
    Snapshot,
)
from meshregistry.mixer.config._specs import HandlerSpec, HeaderSpec, InstanceSpec, Name, RuleSpec
from meshregistry.mixer.expressions import Compiled, doubts
from meshregistry.mixer.services import resolve
from meshregistry.mixer.spi import InstanceTypes, MixerAdapter, Template, Variety

if TYPE_CHECKING:
    from meshregistry.documents import RuleDocument
    from meshregistry.mixer.config._specs import Specs

DEFAULT_NAMESPACE = "istio-system"
"""Its rules are for the requests of every namespace."""

_SHORT, _KIND_OR_NAMESPACE, _FULL = 1, 2, 3


def snapshot(
    documents: Iterable[RuleDocument],
    known: Known,
    faults: list[ConfigError],
    *,
    default_namespace: str = DEFAULT_NAMESPACE,
    base_path: Path | None = None,
) -> Snapshot:
    """Build the configuration that these documents describe.

    Args:
        documents: in their order, which is that of the rules.
        known: adapters and templates.
        faults: filled with everything that is wrong, at its place.
        default_namespace: the one whose rules are for every request.
        base_path: the folder that relative paths of parameters start from.
    """
    documents = tuple(documents)
    specs = read(documents, known, faults)
    manifest = _manifest(specs, faults)
    written = {Name(one.key.name, one.key.kind, one.key.namespace) for one in documents}
    build = _Build(known, manifest, faults, default_namespace, base_path, written)
    build.hints += versions(documents)
    build.instances = build.by_name(specs.instances, build.instance)
    build.specs = {one.name: one for one in build.unique(specs.handlers)}
    rules = [made for one in build.unique(specs.rules) if (made := build.rule(one)) is not None]
    services = resolve(
        build.unique(specs.services), manifest, faults, build.hints, quotas=build.quota_names()
    )
    return evolve(build.snapshot(rules), services=services, hints=tuple(build.hints))


def _manifest(specs: Specs, faults: list[ConfigError]) -> Manifest:
    """The vocabulary, and what the documents declare beside it."""
    declared = dict(vocabulary.STANDARD)
    for attribute, place in specs.attributes:
        before = declared.setdefault(attribute.name, attribute)
        if before.type is not attribute.type:
            faults.append(
                place.fault(
                    f"{attribute.name} is declared as {before.type.name} already",
                    "declare it once, or give it another name",
                )
            )
    return Manifest.of(declared.values())


@define
class _Action:
    """An action with its references resolved."""

    handler: HandlerSpec
    builders: list[Builder]
    name: str


@define
class _Rule:
    """A rule with its references resolved."""

    spec: RuleSpec
    match: Compiled | None
    actions: list[_Action]
    headers: list[HeaderPlan]


@define
class _Build:
    known: Known
    manifest: Manifest
    faults: list[ConfigError]
    default_namespace: str
    base_path: Path | None
    written: Collection[Name]
    instances: Mapping[Name, Builder] = field(factory=dict)
    specs: Mapping[Name, HandlerSpec] = field(factory=dict)
    _plans: dict[Name, HandlerPlan | None] = field(factory=dict)
    _alike: dict[Written, object] = field(factory=dict)
    _matches: dict[str, Compiled] = field(factory=dict)
    hints: list[ConfigError] = field(factory=list)

    # --- Single documents -----------------------------------------------------------------

    def unique(self, specs: Iterable[Any]) -> Iterable[Any]:
        """The first document of each name; later ones are reported."""
        first: dict[Name, Any] = {}
        for spec in specs:
            if first.setdefault(spec.name, spec) is spec:
                yield spec
            else:
                self.faults.append(
                    spec.place.fault(f"there is a document {spec.name} already", "rename one")
                )

    def by_name(self, specs: Iterable[InstanceSpec], make: Any) -> dict[Name, Builder]:
        found = {one.name: make(one) for one in self.unique(specs)}
        return {name: made for name, made in found.items() if made is not None}

    def instance(self, spec: InstanceSpec) -> Builder | None:
        template = spec.template
        outputs = self.manifest.extended(
            {f"{start}{name}": kind for start in OUTPUTS for name, kind in template.output.items()}
        )
        return builder(
            spec, template, self.manifest, outputs, faults=self.faults, alike=self._alike
        )

    def rule(self, spec: RuleSpec) -> _Rule | None:
        match = None
        if spec.match is not None and spec.match.text.strip().lower() != "true":
            match = self.condition(spec.match)
            if match is None:
                return None
        actions = [made for one in spec.actions if (made := self.action(spec, one)) is not None]
        outputs = {
            f"{action.name}.output.{name}": kind
            for action in actions
            if action.name
            for made in action.builders
            if made.template.variety is Variety.CHECK_WITH_OUTPUT
            for name, kind in made.template.output.items()
        }
        manifest = self.manifest.extended(outputs)
        headers = [
            plan
            for listed, is_request in ((spec.request_headers, True), (spec.response_headers, False))
            for one in listed
            if (plan := self.header(spec, one, match, manifest, is_request)) is not None
        ]
        return _Rule(spec, match, actions, headers) if actions or headers else None

    def condition(self, node: ScalarNode) -> Compiled | None:
        """The condition of a rule; the same one for the same text, so that it is asked once."""
        known = self._matches.get(node.text)
        if known is None:
            known = expression(node, self.manifest, self.faults, expected=ValueType.BOOL)
            if known is None:
                return None
            self._matches[node.text] = known
        # A condition that is never met lets pass what its rule was to deny.
        self.hints += [node.fault(f"{one.reason}\n{one.caret()}") for one in doubts(node.text)]
        return known

    def action(self, rule: RuleSpec, spec: Any) -> _Action | None:
        handler = self.resolve(spec.handler, rule.name.namespace, "handler", self.specs)
        if handler is None:
            return None
        adapter = self.adapter(handler)
        builders = []
        for reference in spec.instances:
            made = self.resolve(reference, rule.name.namespace, "instance", self.instances)
            if made is None:
                continue
            if adapter is not None and not adapter.takes_template(made.template):
                names = ", ".join(one.name for one in adapter.templates)
                fault = f"{handler.title} ({adapter.name}) takes no {made.template.name}"
                self.faults.append(reference.fault(fault, f"it takes {names}"))
                continue
            builders.append(made)
        if not builders:
            if not spec.instances:
                self.faults.append(
                    spec.handler.fault("the action sends no instances", "add instances: [name]")
                )
            return None
        return _Action(handler, builders, spec.name)

    def header(
        self,
        rule: RuleSpec,
        spec: HeaderSpec,
        match: Compiled | None,
        manifest: Manifest,
        is_request: bool,
    ) -> HeaderPlan | None:
        before = len(self.faults)
        quoted = ScalarNode(
            file=spec.name.file,
            line=spec.name.line,
            column=spec.name.column,
            path=spec.name.path,
            text=f"`{spec.name.text.lower()}`",
        )
        name = expression(quoted, manifest, self.faults, expected=ValueType.STRING)
        values = [
            expression(one, manifest, self.faults, expected=ValueType.STRING) for one in spec.values
        ]
        if name is None or len(self.faults) > before:
            return None
        return HeaderPlan(
            match=match,
            rule=str(rule.name),
            name=name,
            values=tuple(one for one in values if one is not None),
            operation=spec.operation,
            is_request=is_request,
        )

    def quota_names(self) -> frozenset[str]:
        """The short names of quotas, by which they are asked for, in lower case."""
        return frozenset(
            name.name.lower()
            for name, made in self.instances.items()
            if made.template.variety is Variety.QUOTA
        )

    # --- References -----------------------------------------------------------------------

    def resolve(
        self, reference: ScalarNode, namespace: str, kind: str, among: Mapping[Name, Any]
    ) -> Any:
        """What a reference of a document of this namespace means; None, and a fault, if nothing.

        Three parts are a full name; one is a handler or an instance of the same namespace; two
        are a name with a kind, else with a namespace.
        """
        parts = reference.text.split(".")
        wanted = {
            _SHORT: [Name(parts[0], kind, namespace)],
            _KIND_OR_NAMESPACE: [
                Name(parts[0], parts[-1], namespace),
                Name(parts[0], kind, parts[-1]),
            ],
            _FULL: [Name(parts[0], parts[len(parts) // 2], parts[-1])],
        }.get(len(parts), [])
        for name in wanted:
            if name in among:
                return among[name]
        own = self.known.adapters if kind == "handler" else self.known.templates
        if any(name in self.written and name.kind in (kind, *own) for name in wanted):
            # It is there, and whoever reads that it is not looks for another mistake.
            fault = f"the {kind} {reference.text} cannot be used"
            self.faults.append(reference.fault(fault, "mend its own document"))
            return None
        near = sorted(str(name) for name in among if name.name == parts[0])
        remedy = f"there is {near[0]}" if near else f"add a document of kind {kind}"
        self.faults.append(reference.fault(f"there is no {kind} {reference.text}", remedy))
        return None

    def adapter(self, spec: HandlerSpec) -> MixerAdapter | None:
        found = self.known.adapters.get(spec.adapter)
        if found is None or spec.templates is None:
            return found
        return evolve(found, templates=spec.templates)

    # --- The whole ------------------------------------------------------------------------

    def snapshot(self, rules: list[_Rule]) -> Snapshot:
        used: dict[Name, dict[str, InstanceTypes]] = {}
        for rule in rules:
            for action in rule.actions:
                sent = used.setdefault(action.handler.name, {})
                sent.update({str(made.name): made.types for made in action.builders})
        for name, spec in self.specs.items():
            plan = self.plan(spec, used.get(name, {}))
            # Nobody needs one that no rule names, but what is wrong with it is told all the same.
            if name in used:
                self._plans[name] = plan
        by_namespace: dict[str, list[_Rule]] = {}
        for rule in rules:
            by_namespace.setdefault(rule.spec.name.namespace, []).append(rule)
        general = by_namespace.pop(self.default_namespace, [])
        return Snapshot(
            manifest=self.manifest,
            default=self.rules(general),
            by_namespace={
                namespace: self.rules([*general, *own]) for namespace, own in by_namespace.items()
            },
            handlers=tuple(plan for plan in self._plans.values() if plan is not None),
        )

    def plan(self, spec: HandlerSpec, instances: Mapping[str, InstanceTypes]) -> HandlerPlan | None:
        adapter = self.adapter(spec)
        if adapter is None:
            return None
        faults: list[ConfigError] = []
        node = renamed_for(spec.params, adapter.config_class)
        config = attempt(node, adapter.config_class, faults, base_path=self.base_path)
        if config is not None:
            faults += checked(adapter, spec, config, instances)
        self.faults += faults
        if config is None or faults:
            return None
        return HandlerPlan(title=spec.title, adapter=adapter, config=config, instances=instances)

    def rules(self, rules: list[_Rule]) -> Rules:
        grouped: dict[tuple[Name, str], tuple[HandlerPlan, Template, list[Sent]]] = {}
        for rule in rules:
            for action in rule.actions:
                plan = self._plans.get(action.handler.name)
                if plan is None:
                    continue
                for template, builders in _by_template(action.builders):
                    sent = Sent(
                        match=rule.match,
                        builders=tuple(builders),
                        rule=str(rule.spec.name),
                        action=action.name,
                    )
                    place = action.handler.name, template.name
                    grouped.setdefault(place, (plan, template, []))[2].append(sent)
        destinations: dict[Variety, list[Destination]] = {}
        for plan, template, listed in grouped.values():
            made = Destination(plan=plan, template=template, sent=tuple(listed))
            destinations.setdefault(_filed(template), []).append(made)
        return Rules(
            destinations={variety: tuple(found) for variety, found in destinations.items()},
            headers=tuple(header for rule in rules for header in rule.headers),
        )


def _filed(template: Template) -> Variety:
    is_check = template.variety is Variety.CHECK_WITH_OUTPUT
    return Variety.CHECK if is_check else template.variety


def _by_template(builders: list[Builder]) -> Iterable[tuple[Template, list[Builder]]]:
    found: dict[str, tuple[Template, list[Builder]]] = {}
    for made in builders:
        found.setdefault(made.template.name, (made.template, []))[1].append(made)
    return found.values()
