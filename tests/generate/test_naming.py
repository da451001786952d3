"""Names of generated resources."""

from __future__ import annotations

import pytest

from meshregistry.generate import ClusterName


@pytest.mark.parametrize("text", ["outbound|80||a.shop", "outbound|80|v1|*.shop", "inbound|80||"])
def test_a_cluster_name_survives_parsing(text: str) -> None:
    """What `str` writes, `parse` reads."""
    assert str(ClusterName.parse(text)) == text


def test_a_cluster_name_has_four_parts() -> None:
    """Direction, port, subset and host are told apart."""
    assert ClusterName.parse("outbound|80|v1|a.shop") == ClusterName("outbound", 80, "v1", "a.shop")


@pytest.mark.parametrize("text", ["PassthroughCluster", "outbound|http||a.shop", "a|1|b|c|d"])
def test_another_name_is_refused(text: str) -> None:
    """A cluster that no service stands behind has no such name."""
    with pytest.raises(ValueError, match="is not a cluster of a service"):
        ClusterName.parse(text)
