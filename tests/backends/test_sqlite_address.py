"""The addresses of SQLite files, and what is said of those that are none."""

from pathlib import Path

import pytest

from aiq.backends.sqlite.address import parse
from aiq.errors import Misconfigured


def test_three_slashes_begin_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert parse("sqlite:///jobs.db").path == tmp_path / "jobs.db"
    assert parse("sqlite:///data/jobs.db").path == tmp_path / "data" / "jobs.db"


def test_a_relative_path_stays_what_it_was_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address = parse("sqlite:///jobs.db")
    monkeypatch.chdir("/")

    assert address.path == tmp_path / "jobs.db"


def test_four_slashes_begin_an_absolute_path() -> None:
    assert parse("sqlite:////var/lib/jobs.db").path == Path("/var/lib/jobs.db")


def test_a_path_may_hold_what_a_url_escapes() -> None:
    assert parse("sqlite:////data/my%20jobs%3F%23.db").path == Path("/data/my jobs?#.db")


def test_an_acknowledged_job_survives_power_loss_unless_the_address_says_otherwise() -> None:
    assert parse("sqlite:///jobs.db").synchronous == "full"
    assert parse("sqlite:///jobs.db?synchronous=NORMAL").synchronous == "normal"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://jobs.db", "sqlite://host/jobs.db"])
def test_an_address_without_a_file_is_told_how_to_write_one(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"sqlite:///jobs\.db.*sqlite:////var"):
        parse(url)


def test_jobs_without_a_file_belong_elsewhere() -> None:
    with pytest.raises(Misconfigured, match="memory://"):
        parse("sqlite:///:memory:")


def test_a_foreign_setting_is_refused_by_name() -> None:
    with pytest.raises(Misconfigured, match=r"no setting cache, mode"):
        parse("sqlite:///jobs.db?mode=ro&cache=shared&synchronous=full")


def test_a_setting_that_would_lose_jobs_is_no_choice() -> None:
    with pytest.raises(Misconfigured, match="full, normal, extra"):
        parse("sqlite:///jobs.db?synchronous=off")


def test_what_may_be_a_password_is_in_no_message() -> None:
    for url in ("sqlite://user:hunter2@host/jobs.db", "sqlite:///jobs.db?password=hunter2"):
        with pytest.raises(Misconfigured) as told:
            parse(url)
        assert "hunter2" not in str(told.value)
