"""Several answers become one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshregistry.mixer._directive import HeaderOperation, Operation, RouteDirective
from meshregistry.mixer.server._outcome import Asked, CheckOutcome, combined
from meshregistry.mixer.spi import CheckAnswer, Code, DirectResponse, Status

DENIED = Status(Code.PERMISSION_DENIED, "no")


def asked(handler="h", rule="", action="", **said):
    """An answer."""
    return Asked(handler=handler, rule=rule, action=action, answer=CheckAnswer(**said))


class TestCombined:
    """The rules of combination."""

    def test_nobody_has_anything_to_say(self):
        """Allowed for a minute, 10,000 times."""
        outcome = CheckOutcome(valid_duration=60.0, valid_use_count=10_000)
        assert combined([]).outcome == outcome
        assert combined([asked(), asked()]).outcome == outcome

    def test_the_shortest_and_the_fewest_hold(self):
        """An answer that says nothing counts as none, also beside others."""
        outcome = combined(
            [
                asked(valid_duration=5.0, valid_use_count=100),
                asked(),
                asked(valid_duration=9.0, valid_use_count=7),
            ]
        ).outcome
        assert (outcome.valid_duration, outcome.valid_use_count) == (5.0, 7)

    def test_a_negative_count_is_no_limit(self):
        """It gives way to any limit."""
        without = asked(valid_duration=1.0, valid_use_count=-1)
        assert combined([without, without]).outcome.valid_use_count == -1
        with_limit = asked(valid_duration=1.0, valid_use_count=3)
        assert combined([without, with_limit]).outcome.valid_use_count == 3

    def test_the_first_denial_gives_the_code_and_all_their_reasons(self):
        """In the order of the documents."""
        outcome = combined(
            [
                asked("one.ns", valid_duration=9.0, valid_use_count=1),
                asked("two.ns", status=DENIED, valid_duration=2.0, valid_use_count=1),
                asked("three.ns", status=Status(Code.UNAVAILABLE, "gone")),
            ]
        ).outcome
        assert outcome.status == Status(Code.PERMISSION_DENIED, "two.ns:no, three.ns:gone")
        assert outcome.valid_duration == 0.0

    def test_the_response_of_the_first_denial(self):
        """Its code, or that of the status; cookies one by one."""
        response = DirectResponse(body="<b>", headers={"X-A": "1", "Set-Cookie": "a=1, b=2"})
        outcome = combined([asked(status=DENIED, response=response)]).outcome
        assert outcome.directive == RouteDirective(
            response_headers=(
                HeaderOperation("x-a", "1"),
                HeaderOperation("set-cookie", "a=1", Operation.APPEND),
                HeaderOperation("set-cookie", "b=2", Operation.APPEND),
            ),
            direct_code=403,
            direct_body="<b>",
        )
        with_code = DirectResponse(code=302)
        assert (
            combined([asked(status=DENIED, response=with_code)]).outcome.directive.direct_code
            == 302
        )

    def test_outputs_by_rule_and_action(self):
        """The first of a name counts."""
        answers = [
            asked(rule="r", action="x", output={"value": "1"}),
            asked(rule="r", action="x", output={"value": "2"}),
            asked(rule="s", action="x", output={"value": "3"}),
            asked(rule="s", output={"value": "4"}),
        ]
        assert combined(answers).outputs == {
            "r": {"x.output.value": "1"},
            "s": {"x.output.value": "3"},
        }

    @given(
        st.lists(
            st.builds(
                asked,
                status=st.sampled_from([Status(), DENIED, Status(Code.INTERNAL, "x")]),
                valid_duration=st.floats(0, 100),
                valid_use_count=st.integers(-1, 100),
            )
        )
    )
    def test_no_answer_is_outlived(self, answers):
        """The outcome never holds longer than an answer, and is OK only if all are."""
        outcome = combined(answers).outcome
        said = [one.answer for one in answers if not one.answer.is_default]
        assert outcome.status.is_ok == all(one.status.is_ok for one in said)
        for one in said:
            assert outcome.valid_duration <= one.valid_duration
            if one.valid_use_count >= 0:
                assert 0 <= outcome.valid_use_count <= one.valid_use_count
