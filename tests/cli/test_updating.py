"""update."""

import pytest

from aiq.model import Band, State
from aiq.storage import Storage
from aiq.testing.actions import claim_one, get_one, job
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

    assert (status, "--band, --delay or --at" in err) == (2, True)
