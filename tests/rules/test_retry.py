"""What becomes of a run that raised."""

from random import Random

import pytest

from aiq.errors import ChildFailed, Conflict, Fatal, InvalidInput, ResultInvalid
from aiq.model import Cause, Died, Retried
from aiq.policy import Retry
from aiq.rules.retry import after_failure, draw_delay_ms, job_error


class RateLimited(Exception):
    pass


class TopLimit(Random):
    """Dice that always show the highest number."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return start - 1


def test_an_ordinary_exception_is_tried_again() -> None:
    assert isinstance(after_failure(Retry(), 1, ValueError("no"), Random(1)), Retried)


def test_the_ceiling_of_the_wait_doubles_with_every_attempt_up_to_the_longest() -> None:
    policy = Retry(attempts=9, first_delay=1, max_delay=5)

    assert [draw_delay_ms(policy, attempt, TopLimit()) for attempt in (1, 2, 3, 4, 5)] == [1000, 2000, 4000, 5000, 5000]


def test_waits_are_spread_from_nothing_to_the_ceiling() -> None:
    drawn = [draw_delay_ms(Retry(first_delay=1), 1, rng) for rng in [Random(7)] for _ in range(2_000)]

    assert min(drawn) < 20
    assert max(drawn) > 980
    assert 450 < sum(drawn) / len(drawn) < 550


def test_the_wait_of_a_very_late_attempt_is_still_the_longest_wait() -> None:
    assert draw_delay_ms(Retry(attempts=1000, max_delay=60), 1000, TopLimit()) == 60_000


def test_attempts_are_left_to_the_store_because_a_job_may_have_its_own_number() -> None:
    assert isinstance(after_failure(Retry(attempts=2), 50, ValueError(), Random(1)), Retried)


def test_an_exception_outside_of_on_kills_the_job_at_once() -> None:
    policy = Retry(on=(RateLimited,))

    assert isinstance(after_failure(policy, 1, RateLimited(), Random(1)), Retried)
    assert isinstance(after_failure(policy, 1, ValueError(), Random(1)), Died)


def test_never_wins_over_on() -> None:
    policy = Retry(on=(Exception,), never=(LookupError,))

    assert isinstance(after_failure(policy, 1, KeyError("k"), Random(1)), Died)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (Fatal("rejected"), Cause.HANDLER),
        (ChildFailed("child", "boom"), Cause.CHILD),
        (ResultInvalid("no"), Cause.RESULT),
        (InvalidInput("no such option"), Cause.HANDLER),
        (Conflict("another content", reason="content"), Cause.HANDLER),
        (Conflict("not as a child of this wait", reason="parent"), Cause.HANDLER),
        (Conflict("the newest first", reason="lifo"), Cause.HANDLER),
        (Conflict("another value", reason="signal"), Cause.HANDLER),
    ],
)
def test_an_error_about_the_run_itself_is_never_tried_again(error: Exception, cause: Cause) -> None:
    died = after_failure(Retry(on=(Exception,)), 1, error, Random(1))

    assert isinstance(died, Died)
    assert died.error.cause is cause


@pytest.mark.parametrize("reason", ["state", "unique", "terminal"])
def test_what_is_refused_for_how_a_job_stands_now_is_tried_again(reason: str) -> None:
    assert isinstance(after_failure(Retry(), 1, Conflict("not now", reason=reason), Random(1)), Retried)


def test_a_group_of_errors_is_tried_again_if_each_of_them_may_be() -> None:
    policy = Retry(on=(RateLimited,))
    group = ExceptionGroup("two", [RateLimited(), ExceptionGroup("more", [RateLimited()])])

    assert isinstance(after_failure(policy, 1, group, Random(1)), Retried)


def test_one_fatal_error_in_a_group_is_fatal() -> None:
    group = ExceptionGroup("two", [ValueError(), ExceptionGroup("more", [Fatal()])])

    assert isinstance(after_failure(Retry(), 1, group, Random(1)), Died)


def test_an_error_keeps_its_class_its_text_and_where_it_was_raised() -> None:
    def raiser() -> None:
        raise RateLimited("slow down")

    with pytest.raises(RateLimited) as caught:
        raiser()
    error = job_error(caught.value)

    assert (error.type, error.message) == (f"{__name__}.RateLimited", "slow down")
    assert "in raiser" in error.traceback


def test_an_error_that_cannot_say_what_it_is_can_still_be_recorded() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert job_error(Mute()).message == "(its __str__ raised RuntimeError)"


def test_the_cause_that_the_engine_knows_wins() -> None:
    outcome = after_failure(Retry(), 1, TimeoutError(), Random(1), Cause.TIMEOUT)

    assert outcome.error.cause is Cause.TIMEOUT


@pytest.mark.parametrize("attempts", [0, -1, 1001])
def test_a_number_of_attempts_out_of_range_is_refused(attempts: int) -> None:
    with pytest.raises(InvalidInput, match="counts the first run too"):
        Retry(attempts=attempts)


def test_a_group_is_told_by_what_it_holds() -> None:
    one = job_error(ExceptionGroup("unhandled errors", [ExceptionGroup("inner", [ChildFailed("child", "boom")])]))
    two = job_error(ExceptionGroup("unhandled errors", [ValueError("a"), KeyError("b")]))

    assert (one.type, one.cause) == ("aiq.errors.ChildFailed", Cause.CHILD)
    assert (two.type, two.message, two.cause) == ("ExceptionGroup", "ValueError: a; KeyError: 'b'", Cause.HANDLER)


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Coded(Exception):
    def __init__(self, code: object) -> None:
        super().__init__("no luck")
        self.code = code


class Noted(Exception):
    @property
    def __notes__(self) -> list[str]:
        raise RuntimeError("no notes")


def nested(deep: int) -> ExceptionGroup[Exception]:
    group = ExceptionGroup("no luck", [ValueError("no luck")])
    for _ in range(deep):
        group = ExceptionGroup("no luck", [group])
    return group


@pytest.mark.parametrize(
    "error",
    [
        Coded(Text("x")),
        Coded(10**5_000),
        Noted("no luck"),
        SyntaxError("no luck", ("file", 1, "x", "text")),  # type: ignore[arg-type]  # as a parser of one's own makes it
        nested(2_000),
    ],
    ids=["code", "figure", "notes", "syntax", "depth"],
)
def test_an_error_that_cannot_be_written_in_full_is_recorded_all_the_same(error: Exception) -> None:
    assert "no luck" in job_error(error).message
