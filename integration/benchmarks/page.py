"""The reference page about performance: the last measured tables, with the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.results import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.results import Benchmark

HEAD = """# Performance

Measured by `make bench`, which starts every server that it compares in one run and writes
the same figures to `build/benchmarks.json`. This page is rewritten by
`make bench BENCH='--page docs/reference/performance.md'`. Figures of different runs do not
compare: compare within a table.

Servers run as processes of their own. *bytes only* writes responses that were made
beforehand on grpc.aio and looks at nothing that clients say: the floor of this transport.
The rounds of all servers are interleaved, and their times are wall clock from just before
the change to the moment when the last stream holds the whole response. The load decodes
only version and nonce, and its own processor time stands in the table: it shares the cores
with the servers, alike for each. What happens within one process (responses, changes,
sharing) is measured as processor time of one thread. Figures are medians;
*middle* is the mean of the middle half.
A ratio close to its limit falls on either side of it from run to run: one run is no verdict.
"""


def page(machine: dict[str, Any], benchmarks: list[Benchmark]) -> str:
    """The whole page, in Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    parts = [
        HEAD,
        (
            f"Python {machine['python']}, {versions}; {machine['cores']} cores, whose load was "
            f"{machine['load']:.1f} when the run began.\n"
        ),
        "## Targets\n",
        table(
            ("target", "measured", "promised", ""),
            (
                (
                    ratio.what,
                    f"{shown(ratio.value)} {ratio.unit}".strip(),
                    f"{'≤' if ratio.is_at_most else '≥'} {shown(ratio.limit)} {ratio.unit}".strip(),
                    "met" if ratio.is_met else "**missed**",
                )
                for benchmark in benchmarks
                for ratio in benchmark.ratios
            ),
        ),
    ]
    for benchmark in benchmarks:
        columns = list(benchmark.rows[0].figures)
        rows = ((row.subject, *map(shown, row.figures.values())) for row in benchmark.rows)
        parts += [f"## {benchmark.title[0].upper()}{benchmark.title[1:]}\n"]
        parts += [table(("", *columns), rows)]
        parts += [f"{note}.\n" for note in benchmark.notes]
    return "\n".join(parts)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """One Markdown table; all columns but the first stand right."""
    columns = list(head)
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
