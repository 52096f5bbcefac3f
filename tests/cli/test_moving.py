"""Exporting a storage and importing it elsewhere, from a shell."""

from pathlib import Path

from aiq.testing.actions import job
from tests.cli.command import aiq, within
from tests.cli.conftest import Stored


def test_what_is_exported_can_be_imported_elsewhere(url: str, stored: Stored, tmp_path: Path) -> None:
    stored(lambda storage: storage.enqueue([job("one"), job("two")]))
    there, file = f"sqlite:///{tmp_path}/there.db", str(tmp_path / "export")

    out = aiq("export", "--moved-to", there, "--to", file, url=url)
    back = aiq("import", file, url=there)

    assert (out.returncode, back.returncode) == (0, 0), out.stderr + back.stderr
    assert [record is not None for record in within(there, lambda storage: storage.get(["one", "two"]))] == [True, True]
    refused = aiq("pause", "default", url=url)
    assert refused.returncode != 0
    assert "there.db" in refused.stderr


def test_an_export_goes_through_a_pipe_line_by_line(url: str, stored: Stored) -> None:
    stored(lambda storage: storage.enqueue([job("one")]))

    done = aiq("export", "--moved-to", "redis://elsewhere", url=url)

    assert done.stdout.splitlines()[0].startswith('{"type":"aiq","form":1')
    assert '"type":"job"' in done.stdout
    assert done.stdout.splitlines()[-1].startswith('{"type":"end"')


def test_an_export_must_say_where_the_jobs_go_on(url: str, stored: Stored) -> None:
    stored(lambda storage: storage.enqueue([job("one")]))

    done = aiq("export", url=url)

    assert done.returncode == 2
    assert "--moved-to" in done.stderr


def test_a_move_that_failed_is_undone(url: str, stored: Stored) -> None:
    stored(lambda storage: storage.retire("redis://elsewhere"))

    assert aiq("export", "--undo", url=url).returncode == 0
    assert aiq("pause", "default", url=url).returncode == 0


def test_a_file_that_is_no_export_is_refused(url: str, tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("hello\n")

    done = aiq("import", str(file), url=url)

    assert done.returncode == 2
    assert "no record of an export" in done.stderr


def test_a_file_that_is_not_there_is_told_in_a_sentence(url: str, tmp_path: Path) -> None:
    done = aiq("import", str(tmp_path / "nothing"), url=url)

    assert done.returncode == 2
    assert "nothing" in done.stderr
    assert "Traceback" not in done.stderr
