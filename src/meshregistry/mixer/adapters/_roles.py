"""Roles and who has them: documents of ``rbac.istio.io``, asked whether something is allowed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TypeVar

from attrs import field, frozen

from meshregistry.documents import attempt
from meshregistry.mixer.spi import text_of

if TYPE_CHECKING:
    from meshregistry.documents import AnyNode, DocumentKey, RuleDocument
    from meshregistry.errors import ConfigError
    from meshregistry.mixer.spi import Action, Subject

GROUP = "rbac.istio.io"
T = TypeVar("T")


@frozen(kw_only=True)
class Constraint:
    """A property of the action that must have one of some values."""

    key: str
    values: list[str]


@frozen(kw_only=True)
class AccessRule:
    """What a role allows; of each list one must fit."""

    services: list[str]
    methods: list[str]
    paths: list[str] = field(factory=list)
    constraints: list[Constraint] = field(factory=list)

    def allows(self, action: Action) -> bool:
        """Whether all of it fits."""
        return (
            _any(self.services, action.service)
            and _any(self.methods, action.method)
            and (not self.paths or _any(self.paths, action.path))
            and all(
                one.key in action.properties
                and _any(one.values, text_of(action.properties[one.key]))
                for one in self.constraints
            )
        )


@frozen(kw_only=True)
class ServiceRole:
    """What may be done in a namespace."""

    rules: list[AccessRule]


@frozen(kw_only=True)
class Who:
    """Some subjects: everything that is given must fit, and something must be given."""

    user: str = ""
    group: str = ""
    properties: dict[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not (self.user or self.group or self.properties):
            msg = "names nobody: write user, group or properties, and user: '*' for everybody"
            raise ValueError(msg)

    def is_this(self, subject: Subject) -> bool:
        """Whether a subject is one of these."""
        return (
            (not self.user or _fits(self.user, subject.user))
            and (not self.group or _fits(self.group, subject.groups))
            and all(
                name in subject.properties and _fits(text, text_of(subject.properties[name]))
                for name, text in self.properties.items()
            )
        )


@frozen(kw_only=True)
class RoleRef:
    """The role that is given."""

    name: str
    kind: Literal["ServiceRole"] = "ServiceRole"


@frozen(kw_only=True)
class ServiceRoleBinding:
    """Who has a role of the same namespace."""

    subjects: list[Who]
    roleRef: RoleRef  # noqa: N815 - the documents' word


Spec = ServiceRole | ServiceRoleBinding
_CLASSES: Mapping[str, type[Spec]] = {
    "ServiceRole": ServiceRole,
    "ServiceRoleBinding": ServiceRoleBinding,
}


@frozen
class Roles:
    """All roles and bindings, by namespace."""

    roles: Mapping[tuple[str, str], ServiceRole] = field(factory=dict)
    bindings: Mapping[str, tuple[ServiceRoleBinding, ...]] = field(factory=dict)

    @classmethod
    def of(cls, specs: Mapping[DocumentKey, Spec]) -> Roles:
        """Of the specs of documents."""
        bindings: dict[str, tuple[ServiceRoleBinding, ...]] = {}
        roles = {}
        for key, spec in specs.items():
            if isinstance(spec, ServiceRole):
                roles[key.namespace, key.name] = spec
            else:
                bindings[key.namespace] = (*bindings.get(key.namespace, ()), spec)
        return cls(roles, bindings)

    def allow(self, subject: Subject, action: Action) -> bool:
        """Whether a role that the subject has allows the action."""
        if not (action.namespace and action.service and action.method and action.path):
            return False
        for binding in self.bindings.get(action.namespace, ()):
            role = self.roles.get((action.namespace, binding.roleRef.name))
            if (
                role is not None
                and any(one.is_this(subject) for one in binding.subjects)
                and any(rule.allows(action) for rule in role.rules)
            ):
                return True
        return False


def specs_of(
    documents: Iterable[RuleDocument],
    former: Mapping[DocumentKey, Spec],
    faults: list[ConfigError],
) -> dict[DocumentKey, Spec]:
    """What the documents say, by their keys; one that is wrong stays as it was.

    Args:
        documents: those of other groups are passed over.
        former: what they said before.
        faults: filled.
    """
    found: dict[DocumentKey, Spec] = {}
    for document in documents:
        key, root = document.key, document.root
        if key.group != GROUP:
            continue
        cls = _CLASSES.get(key.kind)
        if cls is None or not key.namespace:
            reason = f"there is no kind {key.kind!r}" if cls is None else "there is no namespace"
            remedy = "write ServiceRole or ServiceRoleBinding, with metadata: {namespace: …}"
            faults.append(root.fault(reason, remedy))
            continue
        spec = _spec(root.get("spec") or root, cls, faults)
        if spec is None:
            spec = former.get(key)
        if spec is not None:
            found[key] = spec
    return found


def _spec(node: AnyNode, cls: type[T], faults: list[ConfigError]) -> T | None:
    return attempt(node, cls, faults)


def _any(patterns: Iterable[str], text: str) -> bool:
    return any(_fits(one, text) for one in patterns)


def _fits(pattern: str, text: str) -> bool:
    """Whether a text is a pattern, which may have one star, at its beginning or end."""
    if pattern == "*":
        return True
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text == pattern
