"""What is right in an expression, and hardly what its author meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshregistry.mixer.expressions._errors import ExpressionError
from meshregistry.mixer.expressions._syntax import Call, Constant, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshregistry.mixer.expressions._syntax import Expression


def doubts(text: str) -> tuple[ExpressionError, ...]:
    """Each at its column; none is a reason not to use the expression.

    Raises:
        ExpressionError: if it is no expression.
    """
    return tuple(
        ExpressionError(
            "what stands before .matches is the pattern, and this is the text to look at: "
            'write "pattern".matches(attribute)',
            text=text,
            column=call.column,
        )
        for call in _calls(parse(text))
        if call.name == "matches"
        and not isinstance(call.receiver, Constant)
        and all(isinstance(one, Constant) for one in call.arguments)
    )


def _calls(tree: Expression) -> Iterator[Call]:
    if isinstance(tree, Call):
        yield tree
        for one in (*tree.arguments, *([] if tree.receiver is None else [tree.receiver])):
            yield from _calls(one)
