"""Attributes by the API that a request is for: its operation, and the key in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from attrs import field, frozen

from meshregistry.mixer._patterns import whole
from meshregistry.mixer.vocabulary import REQUEST_API_KEY

# How exactly a segment of a template says what it matches; the smaller the better.
_LITERAL, _ONE, _REST = range(3)
_VARIABLE = re.compile(r"\{[A-Za-z_][\w.]*(=\*\*?)?\}")


@frozen
class ApiKey:
    """Where a key may be; exactly one of them.

    Attributes:
        query: a parameter of the query.
        header: a header, in lower case.
        cookie: a cookie.

    Raises:
        ValueError: unless exactly one of the three is given.
    """

    query: str = ""
    header: str = ""
    cookie: str = ""

    def __attrs_post_init__(self) -> None:
        if sum(map(bool, (self.query, self.header, self.cookie))) != 1:
            raise ValueError("a key is in one of query, header and cookie")

    def find(self, parameters: Mapping[str, str], headers: Mapping[str, str]) -> str:
        """The key of a request; empty if it has none there."""
        if self.query:
            return parameters.get(self.query, "")
        if self.header:
            return headers.get(self.header, "")
        pairs = (pair.partition("=") for pair in headers.get("cookie", "").split(";"))
        return next((value for name, _, value in pairs if name.strip() == self.cookie), "")


DEFAULT_KEYS = (ApiKey(query="key"), ApiKey(query="api_key"), ApiKey(header="x-api-key"))


@frozen
class ApiPattern:
    """Attributes of requests with some paths; exactly one of template and regex says which.

    Attributes:
        attributes: said of those requests.
        template: a path in which ``{name}`` and ``*`` stand for one segment, and ``**`` or
            ``{name=**}`` at the end for the rest, which may be empty.
        regex: matches the whole path: RE2 where google-re2 is installed, else Python's.
        method: of HTTP; empty: any.

    Raises:
        ValueError: if there is not one of template and regex, or it is none.
    """

    attributes: Mapping[str, object]
    template: str = ""
    regex: str = ""
    method: str = ""
    rank: tuple[int, ...] = field(init=False, eq=False, repr=False)
    """How exact the template is, segment by segment; smaller is more exact."""
    _matches: Callable[[str], object] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if bool(self.template) == bool(self.regex):
            raise ValueError("a pattern has one of template and regex")
        matches: Callable[[str], object]
        if self.template:
            text, rank = _compiled(self.template)
            # Of our own making, without anything that takes its time.
            matches = re.compile(text).fullmatch
        else:
            matches, rank = whole(self.regex), ()
        object.__setattr__(self, "_matches", matches)
        object.__setattr__(self, "rank", rank)

    def is_match(self, method: str, path: str) -> bool:
        """Whether a request is of this kind; the path is without its query."""
        if self.method and self.method != method:
            return False
        return bool(self._matches(path))


def _patterns(values: Iterable[ApiPattern]) -> tuple[ApiPattern, ...]:
    return tuple(values)


def _keys(values: Iterable[ApiKey]) -> tuple[ApiKey, ...]:
    return tuple(values)


@frozen(kw_only=True)
class Api:
    """What is said of requests to an API.

    Of the templates that match, the most exact one counts; of the regular expressions, all.

    Attributes:
        attributes: said of every request, such as ``api.service`` and ``api.version``.
        patterns: more by paths, such as ``api.operation``.
        keys: where ``request.api_key`` may be; the first one that is there counts.
    """

    attributes: Mapping[str, object] = field(factory=dict)
    patterns: tuple[ApiPattern, ...] = field(default=(), converter=_patterns)
    keys: tuple[ApiKey, ...] = field(default=DEFAULT_KEYS, converter=_keys)

    @classmethod
    def merged(cls, apis: Iterable[Api]) -> Api:
        """Several as one: of an attribute the last one's value, of the keys the first found."""
        every = tuple(apis)
        return cls(
            attributes={name: value for one in every for name, value in one.attributes.items()},
            patterns=[pattern for one in every for pattern in one.patterns],
            keys=dict.fromkeys(key for one in every for key in one.keys),
        )

    def describe(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> dict[str, object]:
        """The attributes of one request.

        Args:
            method: of HTTP.
            path: without the query.
            parameters: of the query.
            headers: by names in lower case.
        """
        said = dict(self.attributes)
        for pattern in self._matching(method, path):
            said.update(pattern.attributes)
        key = next(filter(None, (each.find(parameters, headers) for each in self.keys)), None)
        if key is not None:
            said[REQUEST_API_KEY] = key
        return said

    def _matching(self, method: str, path: str) -> Iterable[ApiPattern]:
        found = [pattern for pattern in self.patterns if pattern.is_match(method, path)]
        templates = [pattern for pattern in found if pattern.template]
        # One with a method is more exact than the same without.
        best = min(templates, key=lambda each: (each.rank, not each.method), default=None)
        return [pattern for pattern in found if pattern.regex or pattern is best]


def _compiled(template: str) -> tuple[str, tuple[int, ...]]:
    """A template as a regular expression, and how exact each of its segments is."""
    if not template.startswith("/"):
        raise ValueError(f"the template {template!r} does not begin with /")
    segments = template[1:].split("/")
    text, rank = "", []
    for number, segment in enumerate(segments):
        is_variable = _VARIABLE.fullmatch(segment) is not None
        if segment == "**" or (is_variable and segment.endswith("=**}")):
            if number + 1 != len(segments):
                raise ValueError(f"in the template {template!r}, {segment} is not at the end")
            text += "(/.*)?"
            rank.append(_REST)
        elif segment == "*" or is_variable:
            text += "/[^/]+"
            rank.append(_ONE)
        elif set(segment) & set("{}*"):
            raise ValueError(f"in the template {template!r}, {segment!r} is no segment")
        else:
            text += "/" + re.escape(segment)
            rank.append(_LITERAL)
    return text, tuple(rank)
