"""limits, queue, budgets, prices, usage, hold, unhold, and show --why."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from aiq.errors import Conflict
from aiq.model import Estimate, LimitSpec, State, Succeeded
from aiq.storage import Storage
from aiq.testing.actions import end, enqueue_one, get_one, start
from tests.cli.command import aiq, facts, said, within
from tests.cli.conftest import Stored

MODULE = """\
import os
import aiq

GPT = aiq.Limit("gpt", requests=60, tokens=1_000)

@aiq.task(limits=[GPT])
async def work() -> None: ...

worker = aiq.Worker(os.environ["AIQ_URL"], tasks=[work])
"""


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    """The facts of a verb that must succeed."""
    status, out, err = said(capsys, *words, "--json")
    assert status == 0, err
    return facts(out)


def test_a_limit_is_made_shown_and_changed_in_part(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    told(capsys, "limits", "set", "gpt", "--requests", "60", "--tokens", "1000", "--concurrency", "4")
    (changed,) = told(capsys, "limits", "set", "gpt", "--tokens", "9000", "--weight", "output=5")

    (shown,) = told(capsys, "limits")
    assert shown == changed
    assert (shown["requests"], shown["tokens"], shown["concurrency"], shown["weights"]) == (60, 9000, 4, {"output": 5})


def test_a_bound_of_a_limit_is_taken_away_with_a_word(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)
    told(capsys, "limits", "set", "gpt", "--requests", "60", "--concurrency", "4")

    (changed,) = told(capsys, "limits", "set", "gpt", "--concurrency", "none")

    assert (changed["requests"], changed["concurrency"]) == (60, None)


def test_another_charge_brings_its_own_refund(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)
    told(capsys, "limits", "set", "gpt", "--tokens", "1000")

    (changed,) = told(capsys, "limits", "set", "gpt", "--charge", "max")

    assert (changed["charge"], changed["refund"]) == ("max", False)


def test_a_limit_without_a_change_is_a_wrong_use(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    status, _, err = said(capsys, "limits", "set", "gpt")

    assert status == 2
    assert "Say what to change" in err


def test_a_table_of_limits_says_what_is_left(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)
    told(capsys, "limits", "set", "gpt", "--requests", "60", "--tokens", "120000")

    _, out, _ = said(capsys, "limits")

    assert "60 requests and 120,000 tokens per 60s" in out
    assert "10,000" in out  # five seconds of the rate, with which it begins


def test_limits_that_are_named_are_shown_and_no_others(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)
    for name in ("a", "b", "show"):
        told(capsys, "limits", "set", name, "--requests", "60")

    assert [shown["name"] for shown in told(capsys, "limits")] == ["a", "b", "show"]
    assert [shown["name"] for shown in told(capsys, "limits", "b", "a")] == ["b", "a"]
    assert [shown["name"] for shown in told(capsys, "limits", "show", "show")] == ["show"]
    assert said(capsys, "limits", "b")[1].count("\n") == 2


def test_budgets_that_are_named_are_shown_and_no_others(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)
    for budget in ("tenant:acme", "team", "other"):
        told(capsys, "budgets", "set", budget, "--tokens", "1")

    assert len(told(capsys, "budgets")) == 3
    assert {shown["id"] for shown in told(capsys, "budgets", "tenant:acme", "team")} == {"tenant:acme", "team"}


@pytest.mark.parametrize("kind", ["limit", "budget"])
def test_what_is_named_and_not_stored_is_said_beside_the_rest(
    stored: Stored, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    stored(enqueue_one)
    told(capsys, f"{kind}s", "set", "a", "--tokens", "1")

    status, out, err = said(capsys, f"{kind}s", "b", "a", "--json")

    assert (status, len(facts(out))) == (1, 1)
    assert facts(err) == [{"error": "NotFound", "message": f"No {kind} b is stored."}]


def test_a_level_below_zero_is_a_debt_with_the_time_that_pays_it(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    async def indebted(storage: Storage) -> None:
        await storage.put_limits([LimitSpec(name="gpt", tokens=60, burst_ms=5_000)])
        await start(storage, limits=("gpt",), estimate=Estimate(input=50, max_output=0))

    stored(indebted)

    assert re.search(r"owes 4\d, paid in (4\ds)", said(capsys, "limits")[1])
    (shown,) = told(capsys, "limits")
    assert shown["tokens_left"] < 0  # type: ignore[operator]
    assert 30 < shown["debt"] <= 45  # type: ignore[operator]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["limits", "set", "new", "--per", "5"], "new would bound nothing; say --requests, --tokens or --concurrency."),
        (["limits", "set", "new", "--requests", "5", "--charge", "max"], "are about tokens: say --tokens too"),
        (["limits", "set", "gpt", "--tokens", "none", "--weight", "output=5"], "are about tokens: say --tokens too"),
        (["budgets", "set", "team"], "Say what budget team bounds: --usd 50, or --tokens 5000000."),
        (["budgets", "set", "team", "--usd", "1", "--parent", "team"], "is its own parent"),
        (["budgets", "set", "team", "--usd", "-1"], "usd of a budget is -1; it must be from 0"),
        (["budgets", "grant", "team"], "Say how much: aiq budgets grant team --usd 10, or --tokens 50000."),
        (["prices", "m", "--input", "-2"], "is -2; it must be from 0"),
    ],
)
def test_what_cannot_be_is_told_in_the_words_of_the_command_line(
    stored: Stored, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    stored(enqueue_one)
    said(capsys, "limits", "set", "gpt", "--requests", "5", "--tokens", "5")

    status, out, err = said(capsys, *words)

    assert (status, out) == (2, "")
    assert told in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["limits", "set", "gpt", "--per", "nan"], "'nan' is no number of seconds; say 60 or 0.5"),
        (["limits", "set", "gpt", "--burst", "long"], "'long' is no number of seconds"),
        (["budgets", "set", "team", "--usd", "NaN"], "'NaN' is no number of dollars with at most six decimals"),
        (["budgets", "set", "team", "--usd", "0.0000001"], "'0.0000001' is no number of dollars"),
        (["budgets", "grant", "team", "--usd", "Infinity"], "'Infinity' is no number of dollars"),
        (["budgets", "grant", "team", "--usd", "1e99"], "'1e99' is no number of dollars"),
        (["prices", "m", "--category", "cache_read"], "'cache_read' is no price of a category; say cache_read=0.25"),
    ],
)
def test_a_word_that_is_no_value_of_its_option_is_said(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        said(capsys, *words)

    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_money_is_shown_to_the_last_millionth(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    status, out, _ = said(capsys, "budgets", "set", "team", "--usd", "0.000125", "--tokens", "1")

    assert (status, out) == (0, "team: $0.000125, 1 token left, $0.00, 0 tokens spent\n")
    assert "$0.000125, 1 token " in said(capsys, "budgets")[1]
    assert "$2.50 for a million" in said(capsys, "prices", "m", "--input", "2.5")[1]


def test_the_use_of_any_time_can_be_asked_for(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    assert said(capsys, "usage", "--hours", "999999999999")[0] == 0


def test_what_an_operator_changed_is_shown_and_can_be_reset(url: str, stored: Stored, tmp_path: Path) -> None:
    stored(enqueue_one)
    (tmp_path / "jobs.py").write_text(MODULE)

    def run(*words: str) -> tuple[int, list[dict[str, object]]]:
        done = aiq("limits", *words, "jobs:worker", "--json", url=url, folder=tmp_path)
        return done.returncode, facts(done.stdout)

    assert run("diff") == (1, [{"name": "gpt", "code": run("diff")[1][0]["code"], "stored": None}])
    assert run("reset")[1][0]["changed"] is True
    assert run("diff") == (0, [])
    aiq("limits", "set", "gpt", "--tokens", "5", url=url)
    status, ((difference),) = run("diff")
    assert status == 1
    assert difference["stored"]["tokens"] == 5  # type: ignore[index]
    run("reset")
    assert run("diff") == (0, [])


def test_a_queue_is_bounded_part_by_part(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    told(capsys, "queue", "bulk", "--max-ready", "10", "--rate", "0.5")
    (bounded,) = told(capsys, "queue", "bulk", "--concurrency", "3")
    (freed,) = told(capsys, "queue", "bulk", "--rate", "none")

    assert (bounded["max_ready"], bounded["concurrency"], bounded["rate"], bounded["ready"]) == (10, 3, 0.5, 0)
    assert (freed["max_ready"], freed["concurrency"], freed["rate"]) == (10, 3, None)


def test_a_grant_with_an_id_counts_once(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)
    told(capsys, "budgets", "set", "tenant:acme", "--usd", "5", "--window", "day")

    for _ in range(2):
        told(capsys, "budgets", "grant", "tenant:acme", "--usd", "2.50", "--id", "invoice-17")

    (shown,) = told(capsys, "budgets")
    assert shown["id"] == "tenant:acme"
    assert Decimal(shown["left"]["usd"]) == Decimal("7.5")  # type: ignore[index]


def test_a_budget_that_is_not_there_gets_no_grant(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    status, _, err = said(capsys, "budgets", "grant", "tenant:nobody", "--usd", "1")

    assert status == 1
    assert "tenant:nobody" in err


def test_prices_are_set_and_shown(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    shown = told(capsys, "prices", "gpt", "--input", "2.50", "--output", "10", "--category", "cache_read=0.25")

    assert [(row["category"], Decimal(str(row["usd_per_million"]))) for row in shown] == [
        ("cache_read", Decimal("0.25")),
        ("input", Decimal("2.5")),
        ("output", Decimal(10)),
    ]
    assert said(capsys, "prices", "other")[0] == 1


def test_nothing_used_is_told_as_a_remark(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    status, out, err = said(capsys, "usage", "--hours", "1")

    assert (status, out) == (0, "")
    assert "Nothing was used" in err


def test_a_held_job_says_why_it_waits_and_goes_on_when_it_is_let_go(
    url: str, stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(enqueue_one)

    assert told(capsys, "hold", "job") == [{"job_id": "job", "state": "held"}]
    (why,) = told(capsys, "show", "job", "--why")
    assert why["gate"] == "operator"
    assert told(capsys, "unhold", "job") == [{"job_id": "job", "state": "ready"}]
    assert within(url, get_one).state is State.READY


def test_a_job_that_has_ended_cannot_be_held(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def ended(storage: Storage) -> None:
        await end(storage, await start(storage), Succeeded(b""))

    stored(ended)

    status, _, err = said(capsys, "hold", "job", "--json")

    assert status == 1
    assert facts(err)[0]["error"] == Conflict.__name__


def test_a_job_that_is_not_there_is_neither_held_nor_explained(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(enqueue_one)

    assert said(capsys, "unhold", "nobody")[0] == 1
    assert said(capsys, "show", "nobody", "--why")[0] == 1
