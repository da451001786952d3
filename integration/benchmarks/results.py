"""What a benchmark hands back: rows for the table, and ratios against their targets."""

from __future__ import annotations

from typing import Any

from attrs import asdict, field, frozen
from rich.table import Table


@frozen(kw_only=True)
class Row:
    """One line of a table: who was measured and its figures, by column."""

    subject: str
    figures: dict[str, float | str]


@frozen(kw_only=True)
class Ratio:
    """A target of the interfaces page, with what was measured.

    Attributes:
        what: the two things compared.
        value: the measured ratio or amount.
        limit: the promised one.
        is_at_most: whether the value shall stay below the limit, or reach it.
    """

    what: str
    value: float
    limit: float
    is_at_most: bool
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.limit if self.is_at_most else self.value >= self.limit


@frozen(kw_only=True)
class Benchmark:
    """The outcome of one benchmark."""

    title: str
    rows: tuple[Row, ...]
    ratios: tuple[Ratio, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def table(self) -> Table:
        """The rows, for the terminal."""
        columns = list(self.rows[0].figures)
        table = Table("", *columns, title=self.title, title_justify="left")
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self.rows:
            table.add_row(row.subject, *(shown(row.figures.get(name, "")) for name in columns))
        return table

    def document(self) -> dict[str, Any]:
        """Plain JSON values."""
        document = asdict(self)
        for ratio, plain in zip(self.ratios, document["ratios"], strict=True):
            plain["is_met"] = ratio.is_met
        return document


def shown(value: float | str) -> str:
    """A figure with as many digits as mean something."""
    if isinstance(value, str):
        return value
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def verdicts(benchmarks: list[Benchmark]) -> Table:
    """Every target with what was measured."""
    table = Table("target", "measured", "promised", "", title="Targets", title_justify="left")
    for ratio in (ratio for benchmark in benchmarks for ratio in benchmark.ratios):
        sign = "≤" if ratio.is_at_most else "≥"
        table.add_row(
            ratio.what,
            f"{shown(ratio.value)} {ratio.unit}".strip(),
            f"{sign} {shown(ratio.limit)} {ratio.unit}".strip(),
            "[green]met[/]" if ratio.is_met else "[red]missed[/]",
        )
    return table
