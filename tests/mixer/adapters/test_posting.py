"""Batches by HTTP POST."""

from __future__ import annotations

import pytest

from meshregistry.mixer.adapters._posting import Poster


def test_certificates_that_are_not_there_are_named(run_async, tmp_path):
    """By the parameter and the path; else nobody knows which file is meant."""

    async def main():
        poster = Poster(tmp_path / "ca.pem")
        with pytest.raises(
            OSError, match=f"^caFile: {tmp_path / 'ca.pem'} cannot be read: No such"
        ):
            await poster.post("https://127.0.0.1:1/", b"", {})
        await poster.close()

    run_async(main())
