"""Probes as a machine over (now, answers)."""

from __future__ import annotations

from random import Random

import pytest

from meshregistry.model import Health
from meshregistry.registries._probe import Answer, HttpGet, Probe, Probing, Target, TcpConnect

GOOD, BAD = Answer(True), Answer(False, "status 503")


def target(address="10.0.0.1", **fields):
    """A workload that is probed each ten seconds."""
    return Target(address, Probe(check=HttpGet(80), **fields))


def followed(*targets, is_start=False, served=(), limit=32):
    """A machine that follows these from time 0 on."""
    probing = Probing(Random(0), limit)
    probing.follow(0, targets, is_start=is_start, served=served)
    return probing


def asked(probing, one, *answers):
    """What each answer, one after another, makes of a target."""
    found = []
    for answer in answers:
        due = probing.next_due()
        assert due is not None
        assert one in probing.due(due)
        probing.answered(one, answer)
        found.append(probing.health(one))
    return found


def test_a_workload_is_unhealthy_until_it_was_found_healthy():
    """As with readiness probes of Kubernetes and Istio."""
    one = target()
    assert [Health.HEALTHY] == asked(followed(one), one, GOOD)
    probing = followed(one)
    assert probing.health(one) is Health.UNHEALTHY
    assert [Health.UNHEALTHY] * 4 == asked(probing, one, BAD, BAD, BAD, BAD)


def test_thresholds_count_answers_in_a_row():
    """One of the other kind begins the count anew."""
    one = target(successes=2, failures=3)
    up, down = Health.HEALTHY, Health.UNHEALTHY
    found = asked(followed(one), one, GOOD, BAD, GOOD, GOOD, BAD, BAD, GOOD, BAD, BAD, BAD, GOOD)
    assert [down, down, down, up, up, up, up, up, up, down, down] == found


def test_a_change_is_told_once_and_so_is_the_first_answer():
    """Nobody is told that all is as before."""
    one = target(failures=1)
    probing = followed(one)
    told = []
    for number, answer in enumerate((BAD, BAD, GOOD, GOOD, BAD)):
        assert probing.due(100 * (number + 1))
        told.append(probing.answered(one, answer))
    assert [True, False, True, False, True] == told


def test_the_first_probe_waits_for_the_initial_delay_and_a_part_of_a_period():
    """So that the workloads of a group are not asked all at once."""
    many = [target(f"10.0.0.{number}", initial_delay=5.0) for number in range(100)]
    probing = followed(*many)
    assert [] == probing.due(4.9)
    early = len(probing.due(10))
    assert 0 < early < len(many) // 2 + 20
    assert [] == probing.due(10), "nobody is asked twice"


def test_probes_follow_each_other_by_their_beginnings():
    """A slow answer does not make the next probe later; one never overlaps itself."""
    one = target(period=10.0)
    probing = followed(one)
    first = probing.next_due()
    assert [one] == probing.due(first)
    assert [] == probing.due(first + 15), "still being asked"
    probing.answered(one, GOOD)
    assert probing.next_due() == first + 10
    assert [one] == probing.due(first + 15)
    probing.answered(one, GOOD)
    assert probing.next_due() == first + 20


def test_what_was_missed_is_not_made_up_for():
    """After a long pause one probe is due, not all those that were left out."""
    one = target(period=10.0)
    probing = followed(one)
    probing.due(1000)
    probing.answered(one, GOOD)
    probing.due(1000)
    probing.answered(one, GOOD)
    assert probing.next_due() >= 1000


def test_no_more_are_asked_at_once_than_allowed():
    """The longest overdue first; an answer makes room for the next."""
    many = [target(f"10.0.0.{number}") for number in range(5)]
    probing = followed(*many, limit=2)
    begun = probing.due(1000)
    assert [2, None] == [len(begun), probing.next_due()]
    probing.answered(begun[0], GOOD)
    assert probing.next_due() is not None
    (third,) = probing.due(1000)
    assert third not in begun


def test_those_that_were_there_at_the_start_need_one_success():
    """A pilot that is started again must not take machines out of service for minutes."""
    one = target(initial_delay=60.0, successes=3)
    probing = followed(one, is_start=True)
    assert probing.next_due() <= 1
    assert not probing.is_settled
    assert [Health.HEALTHY] == asked(probing, one, GOOD)
    assert probing.is_settled


def test_after_a_failure_at_the_start_all_successes_are_needed():
    """The benefit of the doubt is gone."""
    one = target(successes=2)
    probing = followed(one, is_start=True)
    down, up = Health.UNHEALTHY, Health.HEALTHY
    assert [down, down, up] == asked(probing, one, BAD, GOOD, GOOD)


def test_a_new_probe_takes_nobody_out_of_service_before_it_failed():
    """Whoever was served stays so, and is looked at soon."""
    one = target(initial_delay=60.0, failures=2)
    probing = followed(one, served={"10.0.0.1"})
    assert probing.health(one) is Health.HEALTHY
    assert probing.next_due() <= 1
    assert [Health.HEALTHY, Health.UNHEALTHY] == asked(probing, one, BAD, BAD)


@pytest.mark.parametrize("answer", [GOOD, BAD])
def test_another_probe_inherits_what_is_known(answer):
    """Of the workload at the same address, good or bad, even if it was served."""
    one, other = target(failures=1), Target("10.0.0.1", Probe(check=TcpConnect(80)))
    probing = followed(one)
    asked(probing, one, answer)
    before = probing.health(one)
    probing.follow(100, [other], served={"10.0.0.1"})
    assert probing.health(other) is before


def test_who_is_followed_no_more_is_forgotten():
    """A late answer of it changes nothing."""
    one = target()
    probing = followed(one)
    probing.due(1000)
    probing.follow(1000, [])
    assert not probing.answered(one, GOOD)
    assert probing.next_due() is None
    probing.follow(1001, [one])
    assert probing.health(one) is Health.UNHEALTHY


def test_who_stays_keeps_its_state():
    """However often the files are read."""
    one, other = target(), target("10.0.0.2")
    probing = followed(one)
    asked(probing, one, GOOD)
    probing.follow(5, [other, one])
    assert [Health.HEALTHY, Health.UNHEALTHY] == [probing.health(one), probing.health(other)]


def test_many_are_probed_at_little_cost():
    """An answer costs the same among ten thousand as among ten: each is asked once a period."""
    many = [target(f"10.{number // 250}.0.{number % 250}") for number in range(10_000)]
    probing = followed(*many, is_start=True, limit=100)
    answers = 0
    while (due := probing.next_due()) is not None and due < 20:
        for one in probing.due(due):
            probing.answered(one, GOOD)
            answers += 1
    assert answers == 2 * len(many)
    assert probing.is_settled


def test_an_answer_to_a_question_of_before_is_no_answer_now():
    """Who left and came back is asked anew."""
    one = target()
    probing = followed(one)
    probing.due(1000)
    probing.follow(1000, [])
    probing.follow(1000, [one], is_start=True)
    assert not probing.answered(one, GOOD)
    assert probing.health(one) is Health.UNHEALTHY
    assert [one] == probing.due(1002)
