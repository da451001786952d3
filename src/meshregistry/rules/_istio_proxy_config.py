"""ProxyConfig of networking.istio.io: settings of the proxy's process.

They are fixed when a proxy starts, so that nothing which is served can change them: each field
says where its place is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from meshregistry.rules._forms import Reader, idle

if TYPE_CHECKING:
    from meshregistry.documents import RuleDocument
    from meshregistry.rules._reading import Reading


@frozen(kw_only=True)
class SelectorForm:
    """WorkloadSelector."""

    labels: dict[str, str] = field(factory=dict, alias="matchLabels")


@frozen(kw_only=True)
class ImageForm:
    """ProxyImage."""

    type: str = field(default="", alias="imageType")


@frozen(kw_only=True)
class ProxyConfigForm:
    """ProxyConfig."""

    selector: SelectorForm | None = idle("no setting of a proxy's process is served")
    concurrency: int | None = idle("start Envoy with --concurrency")
    variables: dict[str, str] | None = idle(
        "set them where Envoy is started", alias="environmentVariables"
    )
    image: ImageForm | None = idle("no proxies are deployed")


def proxy_config(document: RuleDocument, domain: str) -> Reading:
    """Read a ProxyConfig: it is checked, and says that it has no effect."""
    reader = Reader(document, domain)
    spec = document.root.get("spec")
    if spec is None:
        reader.fail(document.root, "the document has no spec", "add spec: {}")
    else:
        reader.form(spec, ProxyConfigForm)
    return reader.result(tuple)
