"""Plain figures as Prometheus reads them."""

from __future__ import annotations

import subprocess
import sys

from meshregistry.exposition import MetricsCollector, exposition
from meshregistry.model import Labels, Metric


class TestExposition:
    def test_prints_gauges_and_counters(self):
        """Each metric has its help, type and samples; counters end in _total."""
        collector = MetricsCollector(
            lambda: [
                Metric.of("m_age_seconds", "gauge", "Its age.", 1.5),
                Metric.of("m_pushes", "counter", "Pushes.", {Labels({"result": "ack"}): 3}),
            ]
        )
        lines = exposition(collector).decode().splitlines()
        assert lines == [
            "# HELP m_age_seconds Its age.",
            "# TYPE m_age_seconds gauge",
            "m_age_seconds 1.5",
            "# HELP m_pushes_total Pushes.",
            "# TYPE m_pushes_total counter",
            'm_pushes_total{result="ack"} 3.0',
        ]

    def test_reads_anew_at_each_scrape(self):
        """The collector keeps no figure, so two pilots never mix."""
        figures = iter([1.0, 2.0])
        collector = MetricsCollector(lambda: [Metric.of("m", "gauge", "A figure.", next(figures))])
        assert [b"m 1.0", b"m 2.0"] == [
            exposition(collector).splitlines()[-1],
            exposition(collector).splitlines()[-1],
        ]

    def test_fills_labels_that_a_sample_lacks(self):
        """Samples of one metric may have different labels."""
        collector = MetricsCollector(
            lambda: [
                Metric.of("m", "gauge", "A figure.", {Labels({"a": "1"}): 1, Labels({"b": "2"}): 2})
            ]
        )
        lines = exposition(collector).decode().splitlines()
        assert lines[2:] == ['m{a="1",b=""} 1.0', 'm{a="",b="2"} 2.0']

    def test_says_what_to_install(self):
        """Without prometheus-client, the error has the line to type."""
        code = (
            "import sys; sys.modules['prometheus_client'] = None\n"
            "from meshregistry.errors import MissingExtraError\n"
            "try:\n"
            "    import meshregistry.exposition\n"
            "except MissingExtraError as error:\n"
            "    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, text=True
        )
        assert "'prometheus_client'" in done.stdout
        assert "pip install 'meshregistry[server]'" in done.stdout
