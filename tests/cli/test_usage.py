"""What the verbs share: help, options, exit status, and errors in one line."""

import asyncio
import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest

from aiq.cli.main import build_parser
from aiq.errors import Corrupt, Misconfigured, ReadOnly, StorageFull, StorageMismatch, Unavailable
from aiq.storage import Storage
from aiq.testing.actions import enqueue_one
from tests.cli.command import ROOT, aiq, facts, said, within
from tests.cli.conftest import Stored


def verbs() -> dict[str, ArgumentParser]:
    # Any: argparse names the type of subparsers with an underscore.
    actions: list[Any] = build_parser()._actions
    return dict(next(action.choices for action in actions if action.dest == "==SUPPRESS==" and action.choices))


VERBS = verbs()


def test_the_command_has_these_verbs() -> None:
    assert set(VERBS) == {
        *("worker", "ls", "show", "count", "tail", "send", "cancel", "hold", "unhold"),
        *("limits", "queue", "budgets", "prices", "usage", "migrate", "audit", "pause", "resume"),
        *("workers", "schedules", "doctor", "update", "dead", "redrive", "replay", "purge"),
        *("events", "metrics", "retention", "export", "import"),
    }


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_teaches_by_an_example(verb: str) -> None:
    told = VERBS[verb].format_help()

    assert re.search(rf"^example:\n  aiq {verb}\b", told, re.MULTILINE)
    assert "--json" in told


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_place_in_the_documentation(verb: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    assert f"\n## {verb}\n" in page
    assert f"    $ aiq {verb}" in page


def test_help_is_done_and_tells_the_exit_status() -> None:
    done = aiq("--help")

    assert done.returncode == 0
    assert "3  the storage cannot be used" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["ls", "--state", "asleep"],
        ["ls", "--limit", "0"],
        ["ls", "--lim", "1"],
        ["show"],
        ["tail", "job", "--after", "-1"],
        ["cancel"],
    ],
)
def test_a_wrong_command_line_is_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        said(capsys, *words)
    assert ended.value.code == 2


def test_no_storage_at_all_is_wrong_usage() -> None:
    done = aiq("ls")

    assert done.returncode == 2
    assert done.stderr == "aiq: No storage is named. Pass --url sqlite:///jobs.db, or set AIQ_URL.\n"


@pytest.mark.parametrize(
    "words",
    [["pause", "no name"], ["send", "job", "approval", "1", "--id", "x" * 300], ["send", "job", "no name", "1"]],
)
def test_a_value_that_can_never_work_is_wrong_usage(
    words: list[str], stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(enqueue_one)

    status, out, err = said(capsys, *words)
    assert (status, out) == (2, "")
    assert err.startswith("aiq: ")
    assert err.count("\n") == 1


def test_the_option_wins_over_the_environment_and_may_stand_anywhere(
    tmp_path: Path, stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    stored(enqueue_one)
    within(other, lambda storage: enqueue_one(storage, "elsewhere"))

    assert "elsewhere" in said(capsys, "--url", other, "ls")[1]
    assert "elsewhere" in said(capsys, "ls", "--url", other)[1]
    assert "elsewhere" not in said(capsys, "ls")[1]
    assert facts(said(capsys, "--json", "ls")[1]) == facts(said(capsys, "ls", "--json")[1])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("mongodb://somewhere/jobs", "mongodb"),
        ("jobs.db", "sqlite:///"),
        ("sqlite:///nowhere.db", "aiq migrate"),
        ("sqlite:///jobs.txt", "jobs.txt"),
    ],
)
def test_a_storage_that_cannot_be_used_is_said_in_one_line(address: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "jobs.txt").write_text("this is no database, and must stay as it is\n" * 100, encoding="utf-8")

    done = aiq("ls", "--url", address, folder=tmp_path)

    assert done.returncode == 3
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"jobs.txt"}


@pytest.mark.parametrize(
    "error", [Unavailable("…"), StorageFull("…"), ReadOnly("…"), Misconfigured("…"), StorageMismatch("…"), Corrupt("…")]
)
def test_every_failure_of_the_storage_has_one_status(
    error: Exception, stored: Stored, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(enqueue_one)

    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("aiq.backends.sqlite.storage.SQLiteStorage.count", fail)

    assert said(capsys, "count") == (3, "", "aiq: …\n")


def test_an_error_is_a_fact_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    status, out, err = said(capsys, "show", "nothing", "--json")
    assert (status, out) == (1, "")
    (fact,) = facts(err)
    assert (fact["error"], "nothing" in fact["message"]) == ("NotFound", True)


def test_where_an_error_came_from_is_shown_to_who_asks(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    assert "Traceback" not in said(capsys, "show", "nothing")[2]
    assert "Traceback" in said(capsys, "show", "nothing", "--debug")[2]


def test_any_storage_of_the_contract_will_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQ_URL", "memory://of-the-command-line")

    async def ask(storage: Storage) -> tuple[int, str, str]:
        await enqueue_one(storage)
        return await asyncio.to_thread(said, capsys, "ls", "--json")

    status, out, _ = within("memory://of-the-command-line", ask)
    assert status == 0
    assert [fact["id"] for fact in facts(out)] == ["job"]
