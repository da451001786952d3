"""Expressions checked and evaluated: every operator, every function, absence, references."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer import Attribute, AttributeBag, Manifest, StringMap, ValueType
from meshregistry.mixer.expressions import (
    EvaluationError,
    ExpressionError,
    PlainAttributes,
    Reference,
    TrackedAttributes,
    compile_expression,
)
from meshregistry.mixer.expressions._operators import COMPARISONS

TYPES = {
    "ab": ValueType.BOOL,
    "ai": ValueType.INT64,
    "bi": ValueType.INT64,
    "ad": ValueType.DOUBLE,
    "as": ValueType.STRING,
    "bs": ValueType.STRING,
    "cs": ValueType.STRING,
    "at": ValueType.TIMESTAMP,
    "bt": ValueType.TIMESTAMP,
    "adur": ValueType.DURATION,
    "aip": ValueType.IP_ADDRESS,
    "bip": ValueType.IP_ADDRESS,
    "adns": ValueType.DNS_NAME,
    "amail": ValueType.EMAIL_ADDRESS,
    "auri": ValueType.URI,
    "am": ValueType.STRING_MAP,
    "bm": ValueType.STRING_MAP,
    "request.headers": ValueType.STRING_MAP,
}
MANIFEST = Manifest.of(Attribute(name, kind) for name, kind in TYPES.items())
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def evaluate(text, **attributes):
    """The value of an expression; ``request_headers`` stands for the dotted name."""
    named = {name.replace("_", "."): value for name, value in attributes.items()}
    return compile_expression(text, MANIFEST).evaluate(PlainAttributes(AttributeBag(named)))


def references(text, **attributes):
    """What an evaluation has read, as texts: ``name``, ``name[key]``, and ``!`` before what is absent."""
    named = {name.replace("_", "."): value for name, value in attributes.items()}
    tracked = TrackedAttributes(AttributeBag(named))
    compiled = compile_expression(text, MANIFEST)
    with suppress(EvaluationError):
        compiled.evaluate(tracked)
    return [
        ("" if one.is_present else "!") + one.name + ("" if one.key is None else f"[{one.key}]")
        for one in tracked.references
    ]


class TestValues:
    """What expressions give."""

    @pytest.mark.parametrize(
        ("text", "attributes", "value"),
        [
            ("1", {}, 1),
            ("1.5", {}, 1.5),
            ("true", {}, True),
            ('"x"', {}, "x"),
            ('"1.5s"', {}, timedelta(seconds=1.5)),
            ("ai", {"ai": 2}, 2),
            ("ai == 2", {"ai": 2}, True),
            ("ai != 2", {"ai": 2}, False),
            ("2 == ai", {"ai": 2}, True),
            ("ai < bi", {"ai": 1, "bi": 2}, True),
            ("ai <= 2", {"ai": 2}, True),
            ("ai > 2", {"ai": 2}, False),
            ("ad >= 2.5", {"ad": 2.5}, True),
            ('as < "b"', {"as": "a"}, True),
            ("at < bt", {"at": NOON, "bt": NOON + timedelta(1)}, True),
            ("at == bt", {"at": NOON, "bt": NOON}, True),
            ("ab == false", {"ab": False}, True),
            ("ai == 20 || as == bs", {"ai": 1, "as": "x", "bs": "x"}, True),
            ("ab && as == bs", {"ab": False}, False),
            ("ab || as == bs", {"ab": True}, True),
            ('as + "/" + bs', {"as": "a", "bs": "b"}, "a/b"),
            ("ai + 1", {"ai": 1}, 2),
            ("ad + 0.5", {"ad": 1.0}, 1.5),
            ('am["k"]', {"am": {"k": "v"}}, "v"),
            ('am["k"]', {"am": {}}, ""),
            ("am[as]", {"am": {"k": "v"}, "as": "k"}, "v"),
            ('am["k"] == "v"', {"am": {"k": "v"}}, True),
            ("am", {"am": {"k": "v"}}, StringMap(k="v")),
            ("emptyStringMap()", {}, StringMap()),
            ('emptyStringMap()["k"]', {}, ""),
            ("conditional(ab, 1, ai)", {"ab": True}, 1),
            ("conditional(ab, 1, ai)", {"ab": False, "ai": 2}, 2),
            ('conditional(ab, am, bm)["k"]', {"ab": True, "am": {"k": "v"}}, "v"),
            ('conditionalString(ab, "a", "b")', {"ab": False}, "b"),
            ('match(as, "x*")', {"as": "xyz"}, True),
            ('match(as, "*z")', {"as": "xyz"}, True),
            ('match(as, "*y*")', {"as": "xyz"}, False),
            ('match(as, "*y*")', {"as": "*yz"}, True),
            ('match(as, "xyz")', {"as": "xyz"}, True),
            ('"a+b".matches(as)', {"as": "xaab"}, True),
            ("as.matches(bs)", {"as": "^b", "bs": "ab"}, False),
            ('as.startsWith("x")', {"as": "xy"}, True),
            ('am["k"].endsWith("y")', {"am": {"k": "xy"}}, True),
            ('toLower("AbÇ")', {}, "abç"),
            ("toLower(as)", {"as": "\u03a0\u03a3"}, "\u03c0\u03c3"),
            ('toLower("İ")', {}, "i"),
            ('reverse("abc")', {}, "cba"),
            ('size("é")', {}, 2),
            ('ip("1.2.3.4")', {}, b"\1\2\3\4"),
            ('aip == ip("1.2.3.4")', {"aip": b"\1\2\3\4"}, True),
            ('aip == ip("::ffff:1.2.3.4")', {"aip": b"\1\2\3\4"}, True),
            ("aip != bip", {"aip": ip_address("::1"), "bip": ip_address("::2")}, True),
            ('at == timestamp("2026-01-02T13:00:00.0000001+01:00")', {"at": NOON}, True),
            ('adns == dnsName("WWW.Example.com.")', {"adns": "www.example.com"}, True),
            ('adns == dnsName("bücher.example")', {"adns": "xn--bcher-kva.example"}, True),
            ('amail == email("me@EXAMPLE.com")', {"amail": "me@example.com"}, True),
            ('amail == email("ME@example.com")', {"amail": "me@example.com"}, False),
            ('auri == uri("HTTP://Example.com/a")', {"auri": "http://example.COM/a"}, True),
            ('auri == uri("http://a:80/")', {"auri": "http://a/"}, False),
            ('auri == uri("mailto:A")', {"auri": "MAILTO:A"}, True),
            ('auri == uri("mailto:a")', {"auri": "mailto:A"}, False),
            ('auri == uri("http://a/x y?%zz")', {"auri": "http://A/x y?%zz"}, True),
            ('auri == uri("a/b:c")', {"auri": "a/b:c"}, True),
            ('amail == email("é@bücher.de")', {"amail": "é@xn--bcher-kva.de"}, True),
            ('amail == email("é@b.de")', {"amail": "É@b.de"}, False),
        ],
    )
    def test_values(self, text, attributes, value):
        """Of every operator and every function."""
        found = evaluate(text, **attributes)
        assert (type(found), found) == (type(value), value)

    @pytest.mark.parametrize(
        ("text", "attributes", "value"),
        [
            ("as | bs", {"as": "a"}, "a"),
            ("as | bs", {"bs": "b"}, "b"),
            ('as | bs | "x"', {}, "x"),
            ('am["k"] | "x"', {}, "x"),
            ('am["k"] | "x"', {"am": {}}, "x"),
            ('am["k"] | "x"', {"am": {"k": ""}}, ""),
            ('am[as] | "x"', {"am": {"k": "v"}}, "x"),
            ('(am | bm)["k"] | "x"', {"bm": {"k": "v"}}, "v"),
            ('(am | emptyStringMap())["k"]', {}, ""),
            ('am["k" | as] | "x"', {"am": {"k": "v"}}, "v"),
            ('"a" | as', {}, "a"),
            ('ip(as | "1.1.1.1")', {}, b"\1\1\1\1"),
            # The original gives the right side here; the left one is what is written.
            ('(as == "x") | true', {"as": "y"}, False),
            ("(ai + 1) | 5", {"ai": 1}, 2),
        ],
    )
    def test_defaults(self, text, attributes, value):
        """``|`` goes on where an attribute, a map, a key or an entry is absent."""
        assert evaluate(text, **attributes) == value

    @pytest.mark.parametrize(
        ("text", "attributes", "reason"),
        [
            ("as", {}, "lookup failed: 'as'"),
            ('am["k"]', {}, "lookup failed: 'am'"),
            ("am[as]", {"am": {}}, "lookup failed: 'as'"),
            ("as | bs", {}, "lookup failed: 'bs'"),
            ("ip(as) | ip(bs)", {"bs": "1.1.1.1"}, "lookup failed: 'as'"),
            ('ip("fe80::1%eth0")', {}, "has a zone"),
            ('timestamp("2026-01-02T13:00:00+24:00")', {}, "no zone is a day or more away"),
            ('email("a(x)@b.c")', {}, "it has a comment"),
            ('email("a\u00a0b@c.d")', {}, "is not an e-mail address"),
            ('ip("x")', {}, "does not appear to be an IPv4 or IPv6 address"),
            ('timestamp("2026-13-01T00:00:00Z")', {}, "month must be in 1..12"),
            ('timestamp("now")', {}, "is not a time"),
            ('dnsName("a..b")', {}, "is not a DNS name"),
            ('dnsName(".")', {}, "is not a DNS name"),
            ('timestamp("0001-01-01T00:00:00+01:00")', {}, "outside of the years 1 to 9999"),
            ('email("x")', {}, "is not an e-mail address"),
            ('email("@")', {}, "is not an e-mail address"),
            ("email(as)", {"as": "(" * 300 + "a@b.c"}, "is not an e-mail address"),
            ("email(as)", {"as": "a." * 20_000 + "@b.c"}, "it is too long for one"),
            ('email("A <a@b.c>")', {}, "is not an e-mail address"),
            ('email("")', {}, "is not an e-mail address"),
            ('uri("")', {}, "an empty text is not a URI"),
            ('uri("http://a b/")', {}, "its host has blanks"),
            ('uri("http://a/\\n")', {}, "control characters"),
            ('uri(":x")', {}, "there is no scheme"),
            ('uri("1a:b")', {}, "there is no scheme"),
            ('uri("http://a/%zz")', {}, "two hexadecimal digits"),
            ('uri("http://a:x/")', {}, "Port could not be cast"),
            ("as.matches(bs)", {"as": "(", "bs": ""}, "is not a regular expression"),
            ("ai + bi", {"ai": 2**63 - 1, "bi": 1}, "more than an int64 holds"),
            ("as", {"as": 1}, "declared as STRING and came as int"),
            ("ai | bi", {"ai": True}, "declared as INT64 and came as bool"),
        ],
    )
    def test_no_value(self, text, attributes, reason):
        """Absent attributes, wrong texts and wrong types are errors of this evaluation only."""
        with pytest.raises(EvaluationError) as caught:
            evaluate(text, **attributes)
        assert reason in str(caught.value)

    def test_a_hostile_pattern_costs_no_time(self):
        """Regular expressions do not go back and forth."""
        assert not evaluate('"(a*)*b".matches(as)', **{"as": "a" * 50_000})


class TestFaults:
    """What is refused before anything is evaluated."""

    @pytest.mark.parametrize(
        ("text", "reason", "column"),
        [
            ("unknown", "unknown attribute unknown", 0),
            ("request.header", "did you mean request.headers?", 0),
            ("info", """write '"info"' for a text""", 0),
            ("f(as)", "unknown function: f: there are conditional, conditionalString, dnsName,", 0),
            ("tolower(as)", "did you mean toLower?", 0),
            ("!ab", "unknown function: NOT: there is no !", 0),
            ("-1 == ai", "unknown function: SUB", 0),
            ("+1 == ai", "unknown function: ADD: there is no + before a number", 0),
            ("ai * 2", "unknown function: MUL: there is no *", 3),
            ("ai / 2", "unknown function: QUO: there is no /", 3),
            ("ai % 2", "unknown function: REM: there is no %", 3),
            ("ai = 2", "'=' is left over: write == to compare", 3),
            ("ai == as", "the right side of ==: got STRING, expected INT64", 6),
            ('am["k"] == "0"', "a text that reads as a duration is one", 11),
            ("adur == adur", "== knows no DURATION", 0),
            ("am == bm", "== knows no STRING_MAP", 0),
            ("ab < ab", "< knows no BOOL", 0),
            ("ab + ab", "+ knows no BOOL", 0),
            ("as || ab", "an operand of ||: got STRING, expected BOOL", 0),
            ('as["k"]', "what stands before [: got STRING", 0),
            ("am[ai]", "the key: got INT64, expected STRING", 3),
            ("as | ai", "the alternative: got INT64, expected STRING", 5),
            ('as == dnsName("x")', "the right side of ==: got DNS_NAME", 6),
            ("ip(ai)", "ip arg 1: got INT64, expected STRING", 3),
            ("match(as)", "match takes 2 arguments, not 1", 0),
            ("size(as, bs)", "size takes 1 arguments, not 2", 0),
            ("startsWith(as, bs)", "call it as x.startsWith(…)", 0),
            ("as.size()", "call it as size(…)", 3),
            ("ai.startsWith(as)", "what startsWith is called on: got INT64", 0),
            ("conditional(ab, as, ai)", "conditional arg 3: got INT64", 20),
            ("conditional(ab, as)", "conditional takes 3 arguments, not 2", 0),
            ('"(".matches(as)', "is not a regular expression (RE2)", 4),
        ],
    )
    def test_types(self, text, reason, column):
        """Each with its reason and its column."""
        with pytest.raises(ExpressionError) as caught:
            compile_expression(text, MANIFEST)
        assert reason in caught.value.reason
        assert caught.value.column == column

    @pytest.mark.parametrize("name", ["OR", "LOR", "LAND", "INDEX", "ADD", *COMPARISONS])
    @pytest.mark.parametrize("operands", [0, 1, 3])
    def test_signs_in_the_form_of_functions(self, name, operands):
        """They may be written so, and with another number of operands that is told."""
        text = f"{name}({', '.join(['ab'] * operands)})"
        if operands == 3 and name in {"LOR", "LAND", "OR"}:
            assert compile_expression(text, MANIFEST).type is ValueType.BOOL
            return
        with pytest.raises(ExpressionError) as caught:
            compile_expression(text, MANIFEST)
        wanted = "unknown function: ADD" if name == "ADD" else f"{name} takes 2 arguments"
        assert wanted in caught.value.reason
        assert caught.value.column == 0

    def test_the_expected_type(self):
        """A condition is true or false."""
        with pytest.raises(ExpressionError, match="expected type BOOL, got STRING"):
            compile_expression("as", MANIFEST, expected=ValueType.BOOL)

    def test_the_message_has_a_caret(self):
        """Under the column."""
        with pytest.raises(ExpressionError) as caught:
            compile_expression('as == "x" && nope', MANIFEST)
        assert str(caught.value).splitlines()[1:] == [
            '  as == "x" && nope',
            "               ^",
        ]

    @given(st.text(alphabet='asbim.|&=!<>+-()[]," 01', max_size=40))
    def test_any_text_is_compiled_or_refused(self, text):
        """And what is compiled has a value or none for no attributes at all."""
        try:
            compiled = compile_expression(text, MANIFEST)
        except ExpressionError:
            return
        tracked = TrackedAttributes({})
        try:
            compiled.evaluate(tracked)
        except EvaluationError:
            assert any(not one.is_present for one in tracked.references) or "(" in text


class TestReferences:
    """What an answer was made of."""

    @pytest.mark.parametrize(
        ("text", "attributes", "read"),
        [
            ("as", {"as": "x"}, ["as"]),
            ("as", {}, ["!as"]),
            ("as | bs", {"bs": "x"}, ["!as", "bs"]),
            ("as | bs", {"as": "x"}, ["as"]),
            ('am["k"]', {"am": {"k": "v"}}, ["am[k]"]),
            ('am["k"]', {"am": {}}, ["!am[k]"]),
            ('am["k"] | "x"', {}, ["!am"]),
            ('(am | bm)["k"]', {"bm": {"k": "v"}}, ["!am", "bm[k]"]),
            ("am", {"am": {"k": "v"}}, ["am"]),
            ("ab && as == bs", {"ab": False, "as": "x"}, ["ab"]),
            ("ab || as == bs", {"ab": True}, ["ab"]),
            ("conditional(ab, as, bs)", {"ab": False, "bs": "x"}, ["ab", "bs"]),
            ("as == as", {"as": "x"}, ["as"]),
            ("as", {"as": {"k": "v"}}, ["as"]),
            ('as | "x"', {"as": {}}, ["as"]),
            ("am", {"am": "x"}, ["am"]),
        ],
    )
    def test_what_is_read(self, text, attributes, read):
        """Only what was needed, each once; a map by its entries unless it is used as a whole.

        That an attribute came with another type is read, too.
        """
        assert references(text, **attributes) == read

    def test_values_of_the_server_leave_that_the_request_said_none(self):
        """What the request says wins, so another one may get another value."""
        tracked = TrackedAttributes(AttributeBag({"as": "said"}))
        more = tracked.overlaid({"as": "found", "bs": "found", "am": StringMap(k="v")})
        values = [
            compile_expression(text, MANIFEST).evaluate(more) for text in ("as", "bs", 'am["k"]')
        ]
        assert values == ["said", "found", "v"]
        assert tracked.references == (
            Reference("as", None, True),
            Reference("bs", None, False),
            Reference("am", None, False),
        )

    def test_outputs_of_a_check_go_first(self):
        """They are not the request's to say, and leave no reference."""
        tracked = TrackedAttributes(AttributeBag({"as": "said"}), {"bs": "found"})
        more = tracked.answered({"as": "given", "am": StringMap(k="v")})
        values = [
            compile_expression(text, MANIFEST).evaluate(more) for text in ("as", "bs", 'am["k"]')
        ]
        assert values == ["given", "found", "v"]
        assert tracked.references == (Reference("bs", None, False),)

    def test_references_can_be_set_back(self):
        """To what was read before a quota was asked."""
        tracked = TrackedAttributes(AttributeBag({"as": "a", "bs": "b"}))
        compile_expression("as", MANIFEST).evaluate(tracked)
        before = tracked.references
        compile_expression("bs", MANIFEST).evaluate(tracked)
        tracked.restore(before)
        assert tracked.references == before

    @given(
        st.dictionaries(st.sampled_from(["as", "bs", "cs"]), st.text(max_size=3)),
        st.dictionaries(st.sampled_from(["k", "l"]), st.text(max_size=3)),
        st.sampled_from(
            [
                'as == bs || am["k"] == cs',
                'am[as | "k"] | bs | "none"',
                'conditional((as | "") == "", bs | "", am["l"])',
                'as.startsWith(am["k"]) && (bs | cs) == "a"',
            ]
        ),
        st.dictionaries(st.sampled_from(["as", "bs", "cs"]), st.text(max_size=3)),
        st.dictionaries(st.sampled_from(["k", "l"]), st.text(max_size=3)),
    )
    def test_equal_references_give_equal_answers(self, one, map_one, text, other, map_other):
        """The law of the client's cache: who agrees on all that was read agrees on the answer."""
        compiled = compile_expression(text, MANIFEST)

        def answer(values, entries):
            tracked = TrackedAttributes(AttributeBag({**values, "am": entries}))
            try:
                return compiled.evaluate(tracked), tracked.references
            except EvaluationError as error:
                return str(error), tracked.references

        def seen(values, entries, reference):
            if reference.key is not None:
                return entries.get(reference.key)
            return entries if reference.name == "am" else values.get(reference.name)

        result, read = answer(one, map_one)
        if all(seen(one, map_one, each) == seen(other, map_other, each) for each in read):
            assert answer(other, map_other) == (result, read)
