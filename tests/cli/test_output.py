"""What reaches the terminal: columns that fit, and nothing that a terminal could take for a command."""

import io

import pytest

from aiq.cli.output import Output, cells, escaped, padded_to
from aiq.storage import Storage
from aiq.testing.actions import enqueue_one
from tests.cli.command import aiq
from tests.cli.conftest import Stored


def output(*, json: bool = False, width: int | None = None) -> tuple[Output, io.StringIO]:
    out = io.StringIO()
    return Output(json, out, io.StringIO(), width), out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\nc\td\0\x7f", "a\\rb\\nc\\td\\x00\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("txt.\u202eexe", "txt.\\u202eexe"),
        ("\u2028line\ufeff", "\\u2028line\\ufeff"),
        ("\ud800", "\\ud800"),
        ("Grüße, 日本, 👩\u200d🔬", "Grüße, 日本, 👩\u200d🔬"),
    ],
)
def test_what_is_not_a_visible_character_is_shown_as_its_code(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_text_may_keep_its_lines() -> None:
    assert escaped("a\tb\nc\r", keep="\n\t") == "a\tb\nc\\r"


def test_a_table_has_straight_columns() -> None:
    made, out = output()
    made.table(["ID", "NOTE"], [["a", "x"], ["longer", ""]])

    assert out.getvalue() == "ID      NOTE\na       x\nlonger\n"


def test_columns_stay_straight_under_wide_characters() -> None:
    made, out = output()
    made.table(["ID", "NOTE"], [["日本", "x"], ["ab", "x"]])

    assert out.getvalue().splitlines()[1:] == ["日本  x", "ab    x"]


def test_a_row_fits_the_terminal_and_its_first_column_stays_whole() -> None:
    made, out = output(width=40)
    made.table(["ID", "TASK", "NOTE"], [["i" * 20, "t" * 30, "n" * 30]])

    row = out.getvalue().splitlines()[1]
    assert len(row) <= 40
    assert row.startswith("i" * 20 + "  t")
    assert row.count("…") == 2


def test_a_pipe_gets_whole_columns() -> None:
    made, out = output(width=None)
    made.table(["ID", "NOTE"], [["a", "n" * 300]])

    assert "n" * 300 in out.getvalue()


def test_a_column_is_never_cut_to_nothing() -> None:
    made, out = output(width=10)
    made.table(["ID", "NOTE"], [["i" * 20, "n" * 30]])

    assert out.getvalue().splitlines()[1] == "i" * 20 + "  nnnnnnn…"


def test_a_cut_never_splits_a_wide_character() -> None:
    assert padded_to(4, "日本語") == "日… "
    assert cells(padded_to(4, "日本語")) == 4


def test_a_line_break_in_a_cell_does_not_break_the_row() -> None:
    made, out = output()
    made.table(["ID", "NOTE"], [["a\nb", "x"]])

    assert out.getvalue().splitlines()[1] == "a\\nb  x"


def test_what_the_terminal_has_no_letters_for_is_shown_as_its_code(url: str, stored: Stored) -> None:
    async def enqueue(storage: Storage) -> None:
        await enqueue_one(storage, "jöb")

    stored(enqueue)

    assert "j\\xf6b  ready" in aiq("ls", url=url, PYTHONIOENCODING="ascii").stdout


def test_a_fact_is_one_line_of_ascii() -> None:
    made, out = output(json=True)
    made.fact({"text": "ü\n\x1b\u202e\x7f"}, "not shown")

    assert out.getvalue() == '{"text": "\\u00fc\\n\\u001b\\u202e\\u007f"}\n'
