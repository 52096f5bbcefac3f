"""workers."""

from dataclasses import replace

import pytest

from aiq.model import Beat, SlotUse
from aiq.storage import Storage
from tests.cli.command import facts, said
from tests.cli.conftest import Stored

BEAT = Beat(
    worker="host:17:ab", host="host", pid=17, up_ms=60_000, version="1.2", python="3.11.9", lag_ms=4,
    slots=(SlotUse("default", 8, 3), SlotUse("bulk", 2)), lent=1,
)  # fmt: skip


async def two(storage: Storage) -> None:
    await storage.beat(BEAT)
    await storage.beat(replace(BEAT, worker="other:18:cd", blocked=True, lag_ms=9_000))


def test_workers_are_shown_with_their_slots_and_how_they_stand(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(two)
    status, out, _ = said(capsys, "workers")

    head, first, second = out.splitlines()
    assert status == 0
    assert head.split()[:3] == ["NAME", "STATE", "SLOTS"]
    assert ("alive" in first, "default 3/8, bulk 0/2" in first, "1m" in first) == (True, True, True)
    assert ("blocked" in second, "9s" in second) == (True, True)


def test_workers_are_facts_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(two)
    first = facts(said(capsys, "workers", "--json")[1])[0]

    assert first["name"] == "host:17:ab"
    assert first["slots"] == {"default": {"used": 3, "total": 8}, "bulk": {"used": 0, "total": 2}}
    assert (first["state"], first["lag_ms"], first["lent"]) == ("alive", 4, 1)


def test_no_workers_are_no_error(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(lambda storage: storage.count())
    status, out, err = said(capsys, "workers")

    assert (status, out) == (0, "")
    assert "No worker" in err
