"""dead, redrive, replay, purge."""

import json
from pathlib import Path

import pytest

from aiq.model import QueueSettings, State, Step, StepKind
from aiq.storage import Storage
from aiq.testing.actions import GOOD, end, end_one, enqueue_one, get_one, spawn, start, states
from aiq.testing.burials import PRINT, deadly, die, redrive
from tests.cli.command import facts, said, within
from tests.cli.conftest import Stored


async def bury(storage: Storage) -> None:
    await die(storage, "one", sample='{"a":["input of one"]}')
    await die(storage, "two")
    await end(storage, await start(storage, "good"), GOOD)


def test_groups_are_told_in_a_table(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)

    status, out, _ = said(capsys, "dead")

    head, row = out.splitlines()
    assert (status, head.split()[:2]) == (0, ["GROUP", "DEAD"])
    assert row.split()[:3] == [PRINT, "2", "2"]
    assert "handler: KeyError" in row
    assert head.split()[2:] == ["DIED", "LAST", "OLDEST", "TASK", "TOKENS", "USD", "RECOVERED", "ERROR"]


def test_groups_are_facts_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)

    (fact,) = facts(said(capsys, "dead", "--json", "--by", "dead")[1])

    assert (fact["fingerprint"], fact["dead"], fact["died"]) == (PRINT, 2, 2)
    assert fact["ages"] == {"1h": 2, "6h": 0, "1d": 0, "7d": 0, "30d": 0, "older": 0}


def test_one_group_is_told_in_full(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)

    out = said(capsys, "dead", PRINT)[1]

    assert "2 now, 2 deaths in all, 2 attempts" in out
    assert "oldest    died " in out
    assert "1h 2" in out
    assert "input of one" in out
    (fact,) = facts(said(capsys, "dead", PRINT, "--json")[1])
    assert [sample["job_id"] for sample in fact["samples"]] == ["one"]


def test_a_group_that_is_not_there_is_told(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)

    status, _, err = said(capsys, "dead", "0")

    assert status == 1
    assert "aiq dead" in err


def test_more_groups_than_the_limit_are_noted(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def bury_two(storage: Storage) -> None:
        await bury(storage)
        await die(storage, "other", "e" * 32)

    stored(bury_two)

    assert "There are more groups" in said(capsys, "dead", "--limit", "1")[2]


def test_a_group_is_redriven(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)

    status, out, _ = said(capsys, "redrive", "--group", PRINT, "--to-queue", "slow", "--spread", "0.5")

    assert (status, out) == (0, "2 jobs redriven, 0 refused.\n")
    assert within(url, lambda storage: states(storage, "one", "two")) == [State.READY, State.SCHEDULED]


def test_the_rate_of_those_that_recovered_is_told(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def mend(storage: Storage) -> None:
        await bury(storage)
        await redrive(storage, "one", "two")
        await end_one(storage, GOOD)
        await end_one(storage, deadly())

    stored(mend)

    assert "50%" in said(capsys, "dead")[1]
    assert "2, of which 1 recovered and 1 died again (50%)" in said(capsys, "dead", PRINT)[1]


def test_a_dry_run_only_counts(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)

    assert said(capsys, "redrive", "--all", "--dry-run")[1] == "2 jobs would be redriven.\n"
    assert said(capsys, "replay", "--task", "work", "--dry-run")[1] == "1 job would be replayed.\n"
    assert facts(said(capsys, "purge", "--all", "--dry-run", "--json")[1]) == [{"jobs": 3}]
    assert within(url, lambda storage: states(storage, "one", "good")) == [State.DEAD, State.SUCCEEDED]


def test_each_job_is_told_and_a_refusal_is_a_no(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)

    status, out, _ = said(capsys, "redrive", "one", "good", "none", "--json")

    assert status == 1
    told = facts(out)
    assert told[0] == {"job_id": "one", "done": "redriven"}
    assert [(fact["job_id"], fact["refused"]) for fact in told[1:]] == [("good", "state"), ("none", "not_found")]


async def bury_with_a_step(storage: Storage) -> None:
    await die(storage, "two")
    run = await start(storage, "one")
    await storage.save_step(run.lease, Step("paid", StepKind.VALUE, b"1"))
    await end(storage, run, deadly())


@pytest.mark.parametrize(("words", "steps"), [((), 0), (("--no-forget-steps",), 1)])
def test_one_job_is_redriven_with_other_arguments(
    url: str, stored: Stored, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], steps: int
) -> None:
    stored(bury_with_a_step)

    assert said(capsys, "redrive", "one", "--payload", '["shorter"]', *words)[:2] == (0, "one  redriven\n")

    record = within(url, lambda storage: get_one(storage, "one"))
    assert (record.state, json.loads(record.payload)) == (State.READY, {"v": 1, "a": ["shorter"], "k": {}})
    assert len(within(url, lambda storage: storage.get_steps("one"))) == steps


def test_other_arguments_come_from_a_file_and_none_are_stored_for_a_job_that_is_not_there(
    stored: Stored, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stored(bury)
    (tmp_path / "arguments.json").write_text('{"text": "b"}', encoding="utf-8")

    assert said(capsys, "redrive", "one", "--payload", f"@{tmp_path}/arguments.json")[0] == 0
    assert "none  refused" in said(capsys, "redrive", "none", "--payload", "[]")[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("one", "two", "--payload", "[]"), "name one ID"),
        (("--all", "--payload", "[]"), "name one ID"),
        (("one", "--tasks", "myapp:tasks"), "Pass --payload too"),
    ],
)
def test_other_arguments_are_for_one_job_that_is_named(
    words: tuple[str, ...], told: str, url: str, stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(bury)

    status, _, err = said(capsys, "redrive", *words)

    assert (status, told in err) == (2, True)
    assert within(url, lambda storage: states(storage, "one", "two")) == [State.DEAD, State.DEAD]


def test_jobs_are_replayed_once_under_one_id(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)

    for _ in range(2):
        assert said(capsys, "replay", "--all", "--id", "again")[1] == "1 job replayed, 0 refused.\n"

    assert len(within(url, lambda storage: storage.count())["default"]) == 3
    assert within(url, lambda storage: storage.count())["default"][State.READY] == 1


def test_the_origin_of_a_replay_is_shown(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)
    (fact,) = facts(said(capsys, "replay", "good", "--json")[1])

    assert "good" in said(capsys, "show", fact["job_id"])[1]
    (shown,) = facts(said(capsys, "show", fact["job_id"], "--json")[1])
    assert shown["origin"] == "good"


def test_jobs_are_purged(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)

    assert said(capsys, "purge", "one")[1] == "one  purged\n"
    assert said(capsys, "purge", "--state", "dead")[1] == "1 job purged, 0 refused.\n"
    assert within(url, lambda storage: states(storage, "one", "two", "good")) == [None, None, State.SUCCEEDED]


@pytest.mark.parametrize("words", [("redrive",), ("purge", "one", "--all"), ("replay", "one", "--task", "work")])
def test_jobs_must_be_named_one_way(words: tuple[str, ...], stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    status, _, err = said(capsys, *words)

    assert status == 2
    assert "--all" in err or "not both" in err


def test_an_account_says_how_many_were_refused_and_why(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def orphans(storage: Storage) -> None:
        parent = await start(storage, "parent")
        await spawn(storage, parent, *map(str, range(25)))
        for _ in range(25):
            await end_one(storage, deadly())
        await end(storage, parent, GOOD)
        await die(storage, "one")

    stored(orphans)

    status, out, _ = said(capsys, "redrive", "--group", PRINT)

    lines = out.splitlines()
    assert (status, len(lines)) == (1, 22)
    assert "refused: Job" in lines[0]
    assert lines[-2:] == ["(5 more are told with --json)", "1 job redriven, 25 refused: 25 parent_terminal."]


def test_an_account_is_a_fact_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(bury)

    *_, account = facts(said(capsys, "redrive", "--group", PRINT, "--limit", "1", "--json")[1])

    assert (account["redriven"], account["refused"], account["reasons"], account["stopped"]) == (1, 0, {}, None)
    assert account["after"]


def test_where_to_go_on_is_told(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def three(storage: Storage) -> None:
        for name in "abc":
            await end(storage, await start(storage, name), GOOD)

    stored(three)

    status, _, err = said(capsys, "replay", "--all", "--limit", "2", "--id", "again")
    after = err.split("--after ")[1].split()
    assert (status, after[1:]) == (0, ["--id", "again"])
    assert said(capsys, "replay", "--all", "--id", "again", "--after", after[0])[1] == "1 job replayed, 0 refused.\n"
    assert within(url, lambda storage: storage.count())["default"][State.READY] == 3
    assert said(capsys, "replay", "--all", "--after", after[0])[0] == 2


def test_a_full_queue_ends_a_replay_with_a_no(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def full(storage: Storage) -> None:
        await bury(storage)
        await storage.configure("default", QueueSettings(max_ready=1))
        await enqueue_one(storage, "waits")

    stored(full)

    status, out, err = said(capsys, "replay", "--all")

    assert (status, out) == (1, "0 jobs replayed, 0 refused.\n")
    assert 'Stopped early: Queue "default"' in err
    assert "the same command and --id " in err


def test_a_dry_run_of_a_replay_leaves_out_children(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def family(storage: Storage) -> None:
        parent = await start(storage, "parent")
        await spawn(storage, parent, "child")
        await end_one(storage, GOOD)
        await end(storage, parent, GOOD)

    stored(family)

    assert said(capsys, "replay", "--all", "--dry-run")[1] == "1 job would be replayed.\n"
    assert said(capsys, "replay", "--all")[1] == "1 job replayed, 0 refused.\n"
