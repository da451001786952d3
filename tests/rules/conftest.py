"""Documents as text, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshregistry.documents import Document, parse, rule_document
from meshregistry.rules import read_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshregistry.rules import Reading


@pytest.fixture
def read() -> Callable[[str], Reading]:
    """Reads the one document of a text."""

    def reading(text: str) -> Reading:
        (document,) = parse(text, file="rules.yaml")
        assert isinstance(document, Document), document
        return read_rules(rule_document(document.root), "mesh.local")

    return reading


@pytest.fixture
def spec(read: Callable[[str], Reading]) -> Callable[..., Reading]:
    """Reads a document of a kind with this spec, in the namespace shop."""

    def reading(kind: str, text: str, api: str = "networking.istio.io/v1") -> Reading:
        return read(
            f"apiVersion: {api}\nkind: {kind}\n"
            f"metadata: {{name: a, namespace: shop}}\nspec: {text}\n"
        )

    return reading
