"""send and cancel."""

import pytest

from aiq.errors import Unavailable
from aiq.model import Sent, State, Succeeded, Suspended
from aiq.storage import Storage
from aiq.testing.actions import end, enqueue_one, get_one, job, start, states
from tests.cli.command import aiq, facts, said, within
from tests.cli.conftest import Stored


async def wait_for_approval(storage: Storage) -> None:
    await end(storage, await start(storage), Suspended("approval", "approval"))


def test_a_signal_is_taken_by_the_wait_that_stands_open(url: str, stored: Stored) -> None:
    stored(wait_for_approval)

    done = aiq("send", "job", "approval", '{ "ok": true }', url=url)

    assert done.returncode == 0
    assert done.stdout.startswith("taken by the job's wait (id ")
    (step,) = within(url, lambda storage: storage.get_steps("job"))
    assert (step.key, step.value) == ("approval", b'{"ok":true}')


def test_an_early_signal_is_kept_and_counts_once(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    told = [facts(said(capsys, "send", "job", "approval", "1", "--id", "mine", "--json")[1]) for _ in range(2)]

    first = {"job_id": "job", "signal": "approval", "id": "mine", "bound": False, "existed": False}
    assert told == [[first], [{**first, "existed": True}]]
    assert within(url, get_one).kept_signals == 1


def test_signals_without_an_id_are_different_signals(
    url: str, stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(enqueue_one)

    for _ in range(2):
        assert said(capsys, "send", "job", "approval", "1")[0] == 0
    assert within(url, get_one).kept_signals == 2


@pytest.mark.parametrize("text", ["true", "-1.5", "null", '"text"', "[1, 2]", '{"a": "ü"}'])
def test_any_json_can_be_sent(text: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    assert said(capsys, "send", "job", "approval", text)[0] == 0


@pytest.mark.parametrize("text", ["yes", "{'a': 1}", "", "NaN", '"\udcff"'])
def test_what_is_no_json_is_not_sent(text: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    with pytest.raises(SystemExit) as ended:
        said(capsys, "send", "job", "approval", text)
    assert ended.value.code == 2
    assert "is not JSON" in capsys.readouterr().err


def test_a_job_that_has_ended_takes_no_signal(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def succeed(storage: Storage) -> None:
        await end(storage, await start(storage), Succeeded(b"1"))

    stored(succeed)

    status, out, err = said(capsys, "send", "job", "approval", "true", "--json")
    assert (status, out) == (1, "")
    (fact,) = facts(err)
    assert (fact["error"], fact["reason"]) == ("Conflict", "terminal")


def test_nobody_is_there_to_get_a_signal(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    assert said(capsys, "send", "nothing", "approval", "true")[0] == 1


def test_a_signal_of_unknown_fate_can_be_sent_again_with_the_id_it_was_given(
    stored: Stored, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(enqueue_one)
    ids = set()

    async def lose(self: Storage, job_id: str, name: str, signal_id: str, payload: bytes) -> Sent:
        ids.add(signal_id)
        raise Unavailable("The storage did not answer.", outcome_unknown=True)

    monkeypatch.setattr("aiq.backends.sqlite.storage.SQLiteStorage.send", lose)
    monkeypatch.setattr("aiq.job.PAUSES_S", (0, 0))

    status, _, err = said(capsys, "send", "job", "approval", "true")
    assert status == 3
    (signal_id,) = ids
    assert f"--id {signal_id}" in err


async def one_ready_one_running_one_done(storage: Storage) -> None:
    await end(storage, await start(storage, "done"), Succeeded(b"1"))
    await start(storage, "running")
    await enqueue_one(storage, "ready")


def test_jobs_are_cancelled_and_each_answer_is_told(url: str, stored: Stored) -> None:
    stored(one_ready_one_running_one_done)

    done = aiq("cancel", "ready", "running", "done", "nothing", url=url)

    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "ready  cancelled",
        "running  asked to stop",
        "done  too late: it is succeeded",
        "nothing  not found",
    ]


def test_each_cancel_is_a_fact_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_ready_one_running_one_done)

    status, out, _ = said(capsys, "cancel", "ready", "running", "nothing", "--json")
    assert status == 1
    assert facts(out) == [
        {"job_id": "ready", "state": "cancelled", "requested": False},
        {"job_id": "running", "state": "running", "requested": True},
        {"job_id": "nothing", "state": None, "requested": False},
    ]


def test_to_cancel_twice_is_to_cancel_once(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_ready_one_running_one_done)

    for _ in range(2):
        assert said(capsys, "cancel", "ready", "running")[0] == 0


def test_force_ends_a_job_that_runs(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_ready_one_running_one_done)

    assert said(capsys, "cancel", "--force", "running") == (0, "running  cancelled\n", "")
    assert within(url, lambda storage: states(storage, "running")) == [State.CANCELLED]


def test_more_jobs_can_be_cancelled_than_one_call_takes(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"job {number}" for number in range(300)]

    async def enqueue(storage: Storage) -> None:
        for first in (0, 200):
            await storage.enqueue([job(name) for name in names[first : first + 200]])

    stored(enqueue)

    status, out, _ = said(capsys, "cancel", "--json", *names)
    assert status == 0
    assert [fact["job_id"] for fact in facts(out)] == names
