"""Builders: an instance document, compiled, makes instances of attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from meshregistry.documents import ScalarNode
from meshregistry.mixer.config._fields import FieldCompiler, Written, expression
from meshregistry.mixer.config._specs import Name
from meshregistry.mixer.expressions import (
    Attributes,
    Compiled,
)
from meshregistry.mixer.spi import (
    Instance,
    InstanceTypes,
    Template,
    ValueType,
    Variety,
)

if TYPE_CHECKING:
    from meshregistry.errors import ConfigError
    from meshregistry.mixer._manifest import Attribute
    from meshregistry.mixer.config._specs import InstanceSpec

# The place of a generator's output in bindings is written ``$out.``; a dollar begins no name.
_OUT, _OWN_OUT = "$out.", "_out."
OUTPUTS = (_OWN_OUT, "output.")
"""How bindings name a generator's output; templates that documents describe have the second."""


@frozen(kw_only=True)
class Builder:
    """Makes the instances of one document.

    Attributes:
        name: of the document.
        template: its template.
        types: of its fields of any type.
        bindings: of a generator: an expression over its output for each attribute.
        make: gives the values of the fields for the attributes of a request.
    """

    name: Name
    template: Template
    types: InstanceTypes
    bindings: Mapping[str, Compiled]
    make: Callable[[Attributes], dict[str, Any]]

    def build(self, attributes: Attributes) -> Instance:
        """The instance for these attributes.

        Raises:
            EvaluationError: if one of its expressions has no value; names the field.
        """
        return self.template.instance(str(self.name), self.make(attributes))


def builder(
    spec: InstanceSpec,
    template: Template,
    manifest: Mapping[str, Attribute],
    outputs: Mapping[str, Attribute],
    *,
    faults: list[ConfigError],
    alike: dict[Written, object],
) -> Builder | None:
    """Compile an instance document.

    Args:
        spec: the document.
        template: its template.
        manifest: the attributes that its fields may use.
        outputs: what its bindings may use: the template's output under `OUTPUTS`.
        faults: filled with what is wrong.
        alike: filled: an object for each mapping that is written, the same one for the
            same mapping. Metrics often have the same dimensions; a request's are found once.

    Returns:
        None if anything is.
    """
    found: list[ConfigError] = []
    types: dict[str, ValueType] = {}
    compiler = FieldCompiler(manifest, types, found, alike)
    make = compiler.fields(spec.params, template.fields, "")
    bindings = _bindings(spec, template, manifest, outputs, found)
    if found:
        faults += found
        return None
    return Builder(
        name=spec.name,
        template=template,
        types=InstanceTypes(name=str(spec.name), template=template, types=types),
        bindings=bindings,
        make=make,
    )


def _bindings(
    spec: InstanceSpec,
    template: Template,
    manifest: Mapping[str, Attribute],
    outputs: Mapping[str, Attribute],
    faults: list[ConfigError],
) -> Mapping[str, Compiled]:
    found: dict[str, Compiled] = {}
    if template.variety is not Variety.ATTRIBUTE_GENERATOR:
        for key, _ in spec.bindings.entries:
            faults.append(key.fault(f"{template.name} generates no attributes", "take it out"))
        return found
    for key, value in spec.bindings.entries:
        target = manifest.get(key.text)
        if target is None:
            faults.append(key.fault("unknown attribute", "declare it in an attributemanifest"))
        elif not isinstance(value, ScalarNode):
            faults.append(value.fault("must be an expression", "write $out.name"))
        else:
            # Of equal length, so that the caret stays where it belongs.
            own = ScalarNode(
                file=value.file,
                line=value.line,
                column=value.column,
                path=value.path,
                text=value.text.replace(_OUT, _OWN_OUT),
            )
            compiled = expression(own, outputs, faults, expected=target.type)
            if compiled is not None:
                found[key.text] = compiled
    return found
