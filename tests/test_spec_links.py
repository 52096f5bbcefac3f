"""Clauses, tests and the places that carry a clause name each other, and nothing that is not there."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from aiq import bounds

ROOT = Path(__file__).parent.parent
CLAUSE = re.compile(r"^\*\*([A-Z]+-\d+)\*\*(.*)$", re.MULTILINE)
NOT_TESTABLE = re.compile(r"\(not testable: [^)]+\)")
NUMBER = re.compile(r"\b([A-Z]+)-(\d+)\b")
RANGE = re.compile(r"\b([A-Z]+)-(\d+) to \1-(\d+)\b")
# A docstring cites after "Spec:", a statement of SQL or a script of Lua after "spec:" in its header.
CITATION = re.compile(r"\b[Ss]pec: ((?:[^.\n]|\.(?!\s|$))*)")


def clauses() -> dict[str, str]:
    """Every clause of spec/, with its first line."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "spec").glob("*.md"))]
    found = [match.groups() for text in texts for match in CLAUSE.finditer(text)]
    numbers = [number for number, _ in found]
    assert len(numbers) == len(set(numbers)), "a number of a clause is used twice"
    return dict(found)


def cited(text: str) -> Iterator[str]:
    """The clauses that a text cites; "ENQ-1 to ENQ-3" are three."""
    for match in CITATION.finditer(text):
        for chapter, first, last in RANGE.findall(match[1]):
            yield from (f"{chapter}-{number}" for number in range(int(first), int(last) + 1))
        yield from (f"{chapter}-{number}" for chapter, number in NUMBER.findall(match[1]))


def marked() -> Iterator[tuple[str, str]]:
    """Every `@clause("…")` on a test, with its place."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from ((number, f"{path.name}::{node.name}") for number in marks_of(node))


def marks_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).rpartition(".")[2] == "clause":
            yield from (argument.value for argument in mark.args if isinstance(argument, ast.Constant))


def unknown(citations: Iterable[tuple[str, str]]) -> list[str]:
    known = clauses()
    return sorted({f"{place} cites {number}" for number, place in citations if number not in known})


def fail_if_any(found: list[str], advice: str) -> None:
    if found:
        pytest.fail("\n".join([advice, *found]), pytrace=False)


def test_every_clause_has_a_test() -> None:
    tested = {number for number, _ in marked()}
    found = [number for number, text in clauses().items() if number not in tested and not NOT_TESTABLE.search(text)]
    fail_if_any(found, "Write a test marked with the clause, or say in the clause (not testable: why):")


def test_every_test_names_clauses_that_exist() -> None:
    fail_if_any(unknown(marked()), "There is no such clause in spec/:")


def test_every_test_of_the_suite_names_a_clause() -> None:
    found = [
        f"{path.name}::{node.name}"
        for path in sorted((ROOT / "tests" / "conformance").glob("test_*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if not list(marks_of(node))
    ]
    fail_if_any(found, "What a storage must do is a clause; name it:")


def test_code_cites_clauses_that_exist() -> None:
    citations = [
        (number, path.relative_to(ROOT).as_posix())
        for suffix in ("*.py", "*.sql", "*.lua")
        for path in sorted((ROOT / "aiq").rglob(suffix))
        for number in cited(path.read_text(encoding="utf-8"))
    ]
    assert len(citations) > 100, "the citations are not found any more"
    fail_if_any(unknown(citations), "There is no such clause in spec/:")


def test_every_statement_of_sql_names_the_clauses_that_it_carries() -> None:
    files = sorted((ROOT / "aiq").rglob("sql/*.sql"))
    fail_if_any(silent(files), "Say in the header which clauses it carries, or `-- spec: none`:")


def test_every_script_of_an_operation_names_the_clauses_that_it_carries() -> None:
    files = [path for path in (ROOT / "aiq").rglob("lua/*.lua") if not path.name.startswith("_")]
    assert files, "the scripts are not found any more"
    fail_if_any(silent(files), "Say in the header which clauses it carries, or `-- spec: none`:")


def silent(files: Iterable[Path]) -> list[str]:
    """Those that name no clause."""
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}
    return sorted(place for place, text in texts.items() if "-- spec:" not in text)


def test_the_chapter_on_storage_publishes_every_bound_as_it_is() -> None:
    rows = re.findall(
        r"^\|[^|]+\| `([A-Z_]+)` \| ([\d,]+) \|$",
        (ROOT / "spec" / "09-storage.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    published = {name: int(figure.replace(",", "")) for name, figure in rows}

    limits = {name: value for name, value in vars(bounds).items() if isinstance(value, int)}
    assert published == {name: value for name, value in limits.items() if not name.startswith("DEFAULT_")}
