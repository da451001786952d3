"""The import contracts of pyproject.toml hold, and would be noticed if they did not."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from importlinter import configuration
from importlinter.application import use_cases

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


@pytest.fixture(scope="module")
def report():
    """Every contract, checked once against the imports of the source tree."""
    configuration.configure()
    options = use_cases.read_user_options(str(PYPROJECT))
    use_cases._register_contract_types(options)
    return use_cases.create_report(options, cache_dir=None)


def test_every_contract_can_be_checked(report):
    """No contract names a module that does not exist, and no package is outside the layers."""
    assert {} == report.invalid_contract_options


def test_every_contract_is_kept(report):
    """Imports point down only, and columns never import each other."""
    broken = {
        contract.name: check.metadata
        for contract, check in report.get_contracts_and_checks()
        if not check.kept
    }
    assert {} == broken


@pytest.mark.parametrize(
    ("name", "importer", "imported"),
    [
        ("layers", "meshregistry.model", "meshregistry.spi"),
        (
            "pure packages know no loop, transport or registry",
            "meshregistry.ads._messages",
            "asyncio",
        ),
        (
            "ingest knows nothing of derive and serve",
            "meshregistry.spi._registry",
            "meshregistry.ads",
        ),
        (
            "serve knows nothing of ingest and derive",
            "meshregistry.ads._messages",
            "meshregistry.spi",
        ),
        (
            "serve knows nothing of ingest and derive",
            "meshregistry.mixer._attributes",
            "meshregistry.loader",
        ),
        (
            "ingest knows nothing of derive and serve",
            "meshregistry.aggregate._table",
            "meshregistry.mixer",
        ),
        ("only spi, loader and defaults know pluggy", "meshregistry.ads._messages", "pluggy"),
    ],
)
def test_a_planted_import_is_reported(report, name, importer, imported):
    """A contract is broken by the very import that it forbids."""
    contract = next(contract for contract in report.contracts if contract.name == name)
    graph = copy.deepcopy(report.graph)
    graph.add_import(importer=importer, imported=imported)
    assert not contract.check(graph, verbose=False).kept
