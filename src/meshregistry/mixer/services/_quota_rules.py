"""Which quotas a request is charged for, by rules on its attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import field, frozen

from meshregistry.mixer._attributes import AttributeBag  # noqa: TC001 - in signatures of attrs
from meshregistry.mixer._patterns import whole


@frozen
class Clause:
    """A condition on one attribute, which has to be there and be text.

    Attributes:
        exact: the text is this.
        prefix: the text begins with this.
        regex: the whole text matches this: RE2 where google-re2 is installed, else Python's.

    Raises:
        ValueError: unless exactly one of the three is given, or if the regex is none.
    """

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None
    _matches: Callable[[str], bool] | None = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if sum(each is not None for each in (self.exact, self.prefix, self.regex)) != 1:
            raise ValueError("a clause has one of exact, prefix and regex")
        matches = None if self.regex is None else whole(self.regex)
        object.__setattr__(self, "_matches", matches)

    def is_match(self, value: object) -> bool:
        """Whether a value fulfils it."""
        if not isinstance(value, str):
            return False
        if self.exact is not None:
            return value == self.exact
        if self.prefix is not None:
            return value.startswith(self.prefix)
        return self._matches is not None and self._matches(value)


def _matches(values: Iterable[Mapping[str, Clause]]) -> tuple[Mapping[str, Clause], ...]:
    return tuple(values)


@frozen
class QuotaRule:
    """Amounts that some requests are charged.

    Attributes:
        charges: amounts by the names of quotas.
        matches: conditions by attribute, all of which hold; several such: any of them. None:
            every request.
    """

    charges: Mapping[str, int]
    matches: tuple[Mapping[str, Clause], ...] = field(default=(), converter=_matches)

    def is_match(self, bag: AttributeBag) -> bool:
        """Whether a request is charged."""
        return not self.matches or any(
            all(clause.is_match(bag.get(name)) for name, clause in match.items())
            for match in self.matches
        )


def _rules(values: Iterable[QuotaRule]) -> tuple[QuotaRule, ...]:
    return tuple(values)


@frozen
class QuotaRules:
    """Rules in order; what they charge adds up.

    Called with a bag it gives the amounts, so it can stand for `quotas` in what is
    ready-made.
    """

    rules: tuple[QuotaRule, ...] = field(converter=_rules)

    def __call__(self, bag: AttributeBag) -> dict[str, int]:
        """Amounts by the names of quotas."""
        amounts: dict[str, int] = {}
        for charges in self._charges(bag):
            for name, amount in charges.items():
                amounts[name] = amounts.get(name, 0) + amount
        return amounts

    def _charges(self, bag: AttributeBag) -> Iterable[Mapping[str, int]]:
        return (rule.charges for rule in self.rules if rule.is_match(bag))
