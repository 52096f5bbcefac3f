"""migrate, audit, pause, resume."""

import sqlite3
from pathlib import Path

import pytest

from aiq.backends.postgres.address import parse
from aiq.backends.postgres.migrate import migrations
from aiq.storage import Storage
from aiq.testing.actions import claim_some, enqueue_one
from tests.cli.command import aiq, facts, said, within
from tests.cli.conftest import Stored
from tests.postgres_servers import postgres_server
from tests.schemas import schemas

READY = "is ready for this version of aiq."
NEEDS_NONE = "It needs no migration: whoever opens it makes what is missing."


def test_migrate_makes_a_file_and_can_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        done = aiq("migrate", "--url", "sqlite:///new.db", folder=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"sqlite:///new.db {READY} {NEEDS_NONE}\n")
    assert (tmp_path / "new.db").exists()


def test_migrate_is_a_fact_to_programs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert facts(said(capsys, "migrate", "--json")[1]) == [{"url": url, "applied": []}]


@pytest.fixture
def address() -> str:
    """A schema that nobody has made yet."""
    return postgres_server().url(schemas().name())


def test_migrate_makes_a_schema_that_needs_somebody_to_do_it(address: str) -> None:
    first = aiq("ls", "--url", address)
    assert (first.returncode, first.stdout) == (3, "")
    assert "aiq migrate" in first.stderr

    numbers = ", ".join(map(str, migrations()))
    done = aiq("migrate", "--url", address)
    assert (done.returncode, done.stdout) == (0, f"{address} {READY} Applied migration {numbers}.\n")

    again = aiq("migrate", url=address)
    newest = max(migrations())
    assert (again.returncode, again.stdout) == (0, f"{address} {READY} Nothing to do: it has schema {newest}.\n")
    assert aiq("ls", url=address).returncode == 0


def test_the_migrations_that_were_applied_are_a_fact_to_programs(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ("migrate", "--json", "--url", address)

    assert facts(said(capsys, *url)[1]) == [{"url": address, "applied": list(migrations())}]
    assert facts(said(capsys, *url)[1]) == [{"url": address, "applied": []}]


def test_whoever_may_not_make_a_schema_is_told_so(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    postgres_server().tell("CREATE ROLE guest LOGIN")

    status, out, err = said(capsys, "migrate", "--url", address.replace("//aiq@", "//guest@"))

    assert (status, out) == (3, "")
    assert "docs/postgres.md" in err


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:hunter2/@host/jobs", "%2F"),
        ("postgresql://me:55432?hunter2@127.0.0.1/jobs", "%3F"),
        ("postgresql://me:55432/x?hunter2@127.0.0.1/jobs", "%3F"),
        ("postgresql://me:1?timeout=hunter2@127.0.0.1/jobs", "%3F"),
        ("postgresql://me:hunter2?x@127.0.0.1/jobs", "%3F"),
        ("postgresql://me:hunter2#x@127.0.0.1/jobs", "%23"),
        ("postgresql://me:hunter2[x@127.0.0.1/jobs", "%5B"),
        ("postgresql://me:hunter2@127.0.0.1/jobs?sslmode=maybe", "sslmode"),
    ],
)
def test_an_address_that_the_driver_cannot_read_is_told_without_its_password(
    url: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("migrate", "ls"):
        status, out, err = said(capsys, verb, "--url", url)

        assert (status, out) == (3, "")
        assert told in err
        assert "hunter2" not in err


def test_a_schema_that_is_there_is_migrated_by_its_owner_without_more_rights(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = parse(address).schema
    postgres_server().tell(f"CREATE ROLE {name} LOGIN; CREATE SCHEMA {name} AUTHORIZATION {name}")

    assert said(capsys, "migrate", "--url", address.replace("//aiq@", f"//{name}@"))[0] == 0


def test_a_paused_queue_gives_no_job_until_it_is_resumed(url: str, stored: Stored) -> None:
    stored(enqueue_one)

    done = aiq("pause", "default", url=url)
    assert (done.returncode, done.stdout) == (0, "Queue default is paused.\n")
    assert within(url, lambda storage: claim_some(storage, 1)) == []

    done = aiq("resume", "default", url=url)
    assert (done.returncode, done.stdout) == (0, "Queue default is open.\n")
    assert len(within(url, lambda storage: claim_some(storage, 1))) == 1


def test_pause_and_resume_are_facts_to_programs(stored: Stored, capsys: pytest.CaptureFixture[str]) -> None:
    stored(enqueue_one)

    assert facts(said(capsys, "pause", "bulk", "--json")[1]) == [{"queue": "bulk", "paused": True}]
    assert facts(said(capsys, "resume", "bulk", "--json")[1]) == [{"queue": "bulk", "paused": False}]


def test_a_paused_key_gives_no_job_until_it_is_resumed(
    url: str, stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(lambda storage: enqueue_one(storage, key="talk", per_key=1))

    assert said(capsys, "pause", "default", "--key", "talk")[1] == "Key talk of queue default is paused.\n"
    assert within(url, lambda storage: claim_some(storage, 1)) == []
    fact = {"queue": "default", "key": "talk", "paused": False}
    assert facts(said(capsys, "resume", "default", "--key", "talk", "--json")[1]) == [fact]
    assert len(within(url, lambda storage: claim_some(storage, 1))) == 1


def test_a_clean_storage_is_a_yes(url: str, stored: Stored) -> None:
    stored(enqueue_one)

    done = aiq("audit", url=url)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Nothing that the specification forbids.\n"


def test_what_the_specification_forbids_is_told_and_a_no(
    stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def enqueue(storage: Storage) -> None:
        await enqueue_one(storage, "bad\x1b[2J")

    stored(enqueue)
    with sqlite3.connect(tmp_path / "jobs.db") as damage:
        damage.execute("UPDATE aiq_jobs SET kept_signals = 7")
    damage.close()

    status, out, _ = said(capsys, "audit")
    assert status == 1
    clause, job_id, text = out.split(maxsplit=2)
    assert job_id == "bad\\x1b[2J"

    (fact,) = facts(said(capsys, "audit", "--json")[1])
    assert (fact["clause"], fact["job_id"], fact["text"]) == (clause, "bad\x1b[2J", text.strip())
