"""update."""

import json
from pathlib import Path

import pytest

import aiq
from aiq.coded import behind
from aiq.model import Band, Released, State
from aiq.storage import Storage
from aiq.testing.actions import claim_one, end_one, get_one, job
from tests.cli.command import facts, said, within
from tests.cli.conftest import Stored


async def one_that_waits_and_one_that_runs(storage: Storage) -> None:
    await storage.enqueue([job("runs", queue="other"), job("waits", delay_ms=50_000)])
    await claim_one(storage, "other")


def test_band_and_time_of_a_job_are_changed(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_that_waits_and_one_that_runs)

    status, out, _ = said(capsys, "update", "waits", "--band", "high", "--delay", "0", "--json")

    assert (status, facts(out)) == (0, [{"job_id": "waits", "state": "ready"}])
    record = within(url, lambda storage: get_one(storage, "waits"))
    assert (record.band, record.state) == (Band.HIGH, State.READY)


def test_an_instant_needs_its_time_zone(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_that_waits_and_one_that_runs)

    assert said(capsys, "update", "waits", "--at", "2126-01-01T13:00:00+01:00")[0] == 0
    assert within(url, lambda storage: get_one(storage, "waits")).due_ms == 4_922_942_400_000
    with pytest.raises(SystemExit) as ended:
        said(capsys, "update", "waits", "--at", "2126-01-01T13:00:00")
    assert ended.value.code == 2


def test_a_job_that_runs_is_not_changed(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_that_waits_and_one_that_runs)

    status, out, err = said(capsys, "update", "runs", "--band", "high", "--json")

    assert (status, out) == (1, "")
    assert facts(err)[0]["reason"] == "state"


def test_a_job_that_is_not_stored_is_told(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_that_waits_and_one_that_runs)

    assert said(capsys, "update", "nobody", "--band", "high") == (1, "nobody  not found\n", "")


def test_to_change_nothing_is_a_mistake(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(one_that_waits_and_one_that_runs)

    status, _, err = said(capsys, "update", "waits")

    assert (status, "--band, --delay, --at or --payload" in err) == (2, True)


JOBS = """
import aiq


@aiq.task
async def work(text: str, times: int = 1) -> str:
    return text * times


@work.estimate
def _(text: str, times: int = 1) -> aiq.Estimate:
    return aiq.Estimate(input=len(text), max_output=1)


tasks = [work]
codecs = [aiq.AESGCM(keys={"k1": b"1" * 32}, current="k1")]
"""


@pytest.fixture
def module(tmp_path: Path) -> str:
    (tmp_path / f"updating_{tmp_path.name}.py").write_text(JOBS, encoding="utf-8")
    return f"{tmp_path}/updating_{tmp_path.name}.py"


def payload(url: str, job_id: str = "waits") -> object:
    return json.loads(within(url, lambda storage: get_one(storage, job_id)).payload)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('["b", 2]', {"v": 1, "a": ["b", 2], "k": {}}),
        ('{"text": "b"}', {"v": 1, "a": [], "k": {"text": "b"}}),
        ('{"v": 1, "a": ["b"], "k": {}}', {"v": 1, "a": ["b"], "k": {}}),
        ('{"v": 1, "a": 7}', {"v": 1, "a": [], "k": {"v": 1, "a": 7}}),
        ("[]", {"v": 1, "a": [], "k": {}}),
    ],
)
def test_arguments_are_a_list_an_object_or_a_payload(
    url: str, stored: Stored, capsys: pytest.CaptureFixture[str], given: str, kept: object
) -> None:
    stored(one_that_waits_and_one_that_runs)

    assert said(capsys, "update", "waits", "--payload", given, "--delay", "0")[:2] == (0, "waits  ready\n")
    assert payload(url) == kept


def test_arguments_come_from_a_file(
    url: str, stored: Stored, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stored(one_that_waits_and_one_that_runs)
    (tmp_path / "arguments.json").write_text('["long"]\n', encoding="utf-8")

    assert said(capsys, "update", "waits", "--payload", f"@{tmp_path}/arguments.json")[0] == 0
    assert payload(url) == {"v": 1, "a": ["long"], "k": {}}


@pytest.mark.parametrize("given", ["text", "7", '"text"', "@nowhere.json", '{"v": 2, "a": [], "k": {}}'])
def test_what_are_no_arguments_is_refused(stored: Stored, capsys: pytest.CaptureFixture[str], given: str) -> None:
    stored(one_that_waits_and_one_that_runs)

    with pytest.raises(SystemExit) as ended:
        said(capsys, "update", "waits", "--payload", given)
    assert ended.value.code == 2
    assert "argument --payload: " in capsys.readouterr().err


def test_arguments_are_checked_against_the_task(
    url: str, stored: Stored, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    stored(one_that_waits_and_one_that_runs)

    status, _, err = said(capsys, "update", "waits", "--payload", "[7]", "--tasks", module)
    assert (status, "argument text" in err) == (2, True)
    assert said(capsys, "update", "waits", "--payload", '["four"]', "--tasks", module)[0] == 0
    record = within(url, lambda storage: get_one(storage, "waits"))
    assert record.estimate is not None
    assert (json.loads(record.payload)["a"], record.estimate.input) == (["four"], 4)


def test_arguments_of_a_job_that_has_started_stay(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    async def released(storage: Storage) -> None:
        await storage.enqueue([job("ran")])
        await end_one(storage, Released())

    stored(released)

    status, _, err = said(capsys, "update", "ran", "--payload", "[]")

    assert (status, "it has run, so its payload stays: cancel it, and redrive it" in err) == (1, True)


def test_of_what_cannot_be_changed_the_next_step_is_told(
    stored: Stored, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    stored(one_that_waits_and_one_that_runs)
    update = ("update", "--payload", "[]")

    assert said(capsys, *update, "nobody") == (1, "nobody  not found\n", "")
    assert "name one ID" in said(capsys, *update, "waits", "runs")[2]
    assert "Pass --payload too" in said(capsys, "update", "waits", "--band", "high", "--tasks", module)[2]
    assert "only one that waits to run" in said(capsys, *update, "runs")[2]


def test_results_of_other_jobs_are_not_lost(url: str, stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    shown = {"v": 1, "a": [None, 1], "k": {}, "o": [[["a", 0], "first"]]}
    stored(
        lambda storage: storage.enqueue(
            [job("first"), job("waits", depends_on=("first",), payload=json.dumps(shown).encode())]
        )
    )

    status, _, err = said(capsys, "update", "waits", "--payload", "[1, 2]")
    assert (status, "results of other jobs: first" in err) == (2, True)
    assert said(capsys, "update", "waits", "--payload", json.dumps(shown | {"a": [None, 2]}))[0] == 0
    assert payload(url) == shown | {"a": [None, 2]}


def test_encoded_arguments_are_not_replaced_by_plain_ones(
    url: str, stored: Stored, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    codecs = (aiq.AESGCM(keys={"k1": b"1" * 32}, current="k1"),)
    stored(lambda storage: behind(storage, codecs).enqueue([job("waits", payload=b'{"v":1,"a":[],"k":{}}')]))

    status, _, err = said(capsys, "update", "waits", "--payload", '["b"]')
    assert (status, "aiq --codecs MODULE:NAME" in err) == (2, True)
    assert said(capsys, "update", "waits", "--payload", '["b"]', "--codecs", module)[0] == 0
    assert b'"b"' not in within(url, lambda storage: get_one(storage, "waits")).payload
    record = within(url, lambda storage: get_one(behind(storage, codecs), "waits"))
    assert b'"b"' in record.payload
