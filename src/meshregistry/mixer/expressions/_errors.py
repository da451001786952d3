"""What is wrong with an expression, and where."""

from __future__ import annotations

from meshregistry.errors import MixerError


class ExpressionError(MixerError):
    """An expression that cannot be used.

    Attributes:
        reason: what is wrong, as a clause.
        text: the whole expression.
        column: of the character at fault, from 0.
    """

    def __init__(self, reason: str, *, text: str, column: int) -> None:
        self.reason = reason
        self.text = text
        self.column = column
        super().__init__(f"{reason}\n{self.caret()}")

    def caret(self) -> str:
        """The line of the expression at fault, and below it a caret under the column."""
        start = self.text.rfind("\n", 0, self.column) + 1
        end = self.text.find("\n", self.column)
        line = self.text[start : len(self.text) if end < 0 else end]
        before = self.text[start : self.column]
        # A tab stays one, so that the caret stands under the character in any terminal.
        indent = "".join("\t" if one == "\t" else " " for one in before)
        return f"  {line}\n  {indent}^"


class EvaluationError(MixerError):
    """An expression that is right and has no value for these attributes."""
