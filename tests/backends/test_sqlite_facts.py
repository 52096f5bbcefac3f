"""What a SQLite file says of what it stands on: each judgement, and the whole of a real file."""

from pathlib import Path

import pytest

from aiq.backends.sqlite.facts import (
    disk_fact,
    durability_fact,
    file_system_fact,
    journal_fact,
    kind_of_mount,
    library_fact,
    permissions_fact,
    schema_fact,
    wal_fact,
)
from aiq.model import Fact, Level
from aiq.testing.clock import Clock
from tests.backends.sqlite_files import opened

OK, WARN, FAIL = Level


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ((3, 51, 3), OK),
        ((3, 52, 0), OK),
        ((4, 0, 0), OK),
        ((3, 51, 2), WARN),
        ((3, 50, 7), OK),
        ((3, 50, 6), WARN),
        ((3, 44, 6), OK),
        ((3, 45, 9), WARN),
        ((3, 40, 1), WARN),
    ],
)
def test_versions_with_the_race_are_warned_of(version: tuple[int, ...], level: Level) -> None:
    assert library_fact(version).level is level


@pytest.mark.parametrize(
    ("fact", "level"),
    [
        (schema_fact(8, 8), OK),
        (schema_fact(9, 8), FAIL),
        (journal_fact("wal"), OK),
        (journal_fact("delete"), FAIL),
        (durability_fact("full"), OK),
        (durability_fact("normal"), WARN),
        (file_system_fact("ext4"), OK),
        (file_system_fact(None), OK),
        (file_system_fact("nfs4"), FAIL),
        (file_system_fact("fuse.sshfs"), FAIL),
        (wal_fact(4_000_000), OK),
        (wal_fact(300_000_000), WARN),
        (disk_fact(10**12), OK),
        (disk_fact(500_000_000), WARN),
        (disk_fact(1_000_000), FAIL),
        (permissions_fact(0o600, folder_writable=True), OK),
        (permissions_fact(0o644, folder_writable=True), OK),
        (permissions_fact(0o666, folder_writable=True), WARN),
        (permissions_fact(0o600, folder_writable=False), FAIL),
    ],
)
def test_what_is_found_is_judged_and_what_is_bad_says_what_to_do(fact: Fact, level: Level) -> None:
    assert fact.level is level
    assert level is OK or fact.advice


def test_the_innermost_mount_tells_the_file_system() -> None:
    mounts = [
        "/dev/sda1 / ext4 rw 0 0",
        "server:/x /data nfs4 rw 0 0",
        "tmpfs /data/local tmpfs rw 0 0",
        "disk /my\\040disk xfs rw 0 0",
    ]

    kinds = [
        kind_of_mount(mounts, Path(path)) for path in ("/jobs.db", "/data/jobs.db", "/data/local/a/b", "/my disk/jobs")
    ]
    assert kinds == ["ext4", "nfs4", "tmpfs", "xfs"]
    assert kind_of_mount(mounts, Path("/database/jobs.db")) == "ext4"
    assert kind_of_mount([], Path("/jobs.db")) is None


async def test_a_file_tells_of_all_that_it_stands_on(tmp_path: Path) -> None:
    async with opened(tmp_path / "jobs.db", Clock()) as storage:
        names = [fact.name for fact in await storage.facts()]

    assert names == [
        *("library", "schema", "journal", "durability", "file system", "log", "disk", "permissions", "clock"),
        *("inbox", "moving"),
    ]
