"""The house rules that no other tool enforces; each failure says where and what to do."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("aiq", "tests", "examples", "benchmarks")
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 69
MAX_THIRD_PARTY_DISTRIBUTIONS = 3
STORE_NAMES = ("redis", "postgres", "sqlite")

# What may catch BaseException: "path::function", and why it must see even a cancellation and then raise it again.
CATCHES_EVERYTHING: dict[str, str] = {
    "aiq/backends/postgres/line.py::_do": "What an errand raises belongs to whoever sent it to the thread.",
    "aiq/engine/batches.py::Batches._handle": "Whatever the handler of a batch raises becomes the outcome of its jobs.",
    "aiq/engine/pools.py::Call.run": "What a handler in a thread raises belongs to the run that waits for it.",
    "aiq/engine/runner.py::Runner._outcome": "Whatever a handler raises becomes the outcome of its job.",
}

# The lowest floor is data: whatever it imports, everything imports.
FLOOR_ONE_MAY_IMPORT = sys.stdlib_module_names | {"aiq", "msgspec"}
# Rules are given the time and the dice; a rule that could wait, look at a clock or open a file could not be replayed.
RULES_MAY_NOT_IMPORT = {"asyncio", "os", "pathlib", "secrets", "socket", "sqlite3", "threading", "time"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


def sources(*folders: str, suffix: str = ".py") -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob(f"*{suffix}"))


def lowest_floor() -> set[str]:
    """The modules of floor 1, as the contract in pyproject.toml names them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(re.findall(r"\w+", settings["tool"]["importlinter"]["contracts"][0]["layers"][-1]))


def where(path: Path, node: ast.AST | None = None) -> str:
    place = path.relative_to(ROOT).as_posix()
    return f"{place}:{node.lineno}" if isinstance(node, ast.stmt | ast.expr | ast.excepthandler) else place


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def definitions(node: ast.AST, inside: str = "") -> Iterator[tuple[str, Definition]]:
    """Every class and function below a node, nested ones too, with its dotted name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            name = f"{inside}.{child.name}".lstrip(".")
            yield name, child
            yield from definitions(child, name)
        else:
            yield from definitions(child, inside)


def public_definitions(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """What a reader of the documentation sees: not the private, not the magic, not what is local to a function."""
    for child in node.body:
        if isinstance(child, Definition) and not child.name.startswith("_") and not is_overload(child):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public_definitions(child)


def is_overload(node: Definition) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)


def imported_modules(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, node) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node


def catches_everything(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    named = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(name is None or ast.unparse(name).endswith("BaseException") for name in named)


def catch_alls() -> dict[str, str]:
    """Each function (or module) that catches everything, by its key in the allow-list, with its place."""
    found = {}
    for path in sources(*FOLDERS):
        tree = tree_of(path)
        owners = [("", tree), *definitions(tree)]
        for handler in (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)):
            if catches_everything(handler):
                owner = [name for name, node in owners if handler in ast.walk(node)][-1]
                found[f"{where(path)}::{owner}"] = where(path, handler)
    return found


def run_python(script: str, folder: Path) -> str:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fail_if_any(found: list[str], advice: str) -> None:
    if found:
        pytest.fail("\n".join([advice, *found]), pytrace=False)


def test_no_file_is_too_long_to_be_read_in_one_sitting() -> None:
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for suffix in (".py", ".sql", ".lua")
        for path in sources(*FOLDERS, suffix=suffix)
    }
    found = [f"{where(path)}: {lines} lines" for path, lines in lengths.items() if lines > MAX_FILE_LINES]
    fail_if_any(found, f"A file has at most {MAX_FILE_LINES} lines; split it by noun:")


def test_no_function_is_longer_than_a_screen() -> None:
    found = [
        f"{where(path, node)}: {name} has {node.end_lineno - node.lineno + 1} lines"
        for path in sources(*FOLDERS)
        for name, node in definitions(tree_of(path))
        if isinstance(node, Function)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    fail_if_any(found, f"A function has at most {MAX_FUNCTION_LINES} lines, 30 as a habit; keep the branches here:")


def test_no_function_of_a_script_is_longer_than_a_screen() -> None:
    function = re.compile(r"^(?:local )?function ([\w.]+)\(.*?^end$", re.MULTILINE | re.DOTALL)
    found = [
        f"{where(path)}: {match[1]} has {match[0].count(chr(10)) + 1} lines"
        for path in sources("aiq", suffix=".lua")
        for match in function.finditer(path.read_text(encoding="utf-8"))
        if match[0].count(chr(10)) >= MAX_FUNCTION_LINES
    ]
    fail_if_any(found, f"A function has at most {MAX_FUNCTION_LINES} lines, 30 as a habit; keep the branches here:")


def test_every_public_name_has_a_docstring() -> None:
    trees = {path: tree_of(path) for path in sources("aiq")}
    found = [f"{where(path)}: the module" for path, tree in trees.items() if not ast.get_docstring(tree)]
    found += [
        f"{where(path, node)}: {node.name}"
        for path, tree in trees.items()
        for node in public_definitions(tree)
        if not ast.get_docstring(node)
    ]
    fail_if_any(found, "Say what it does, its units and bounds, and its errors with their cause (or make it private):")


def test_nothing_waits_with_asyncio_wait_for() -> None:
    found = [
        where(path, node)
        for path in sources(*FOLDERS)
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.wait_for")
        or (
            isinstance(node, ast.ImportFrom) and node.module == "asyncio" and "wait_for" in {n.name for n in node.names}
        )
    ]
    fail_if_any(found, "asyncio.wait_for can lose a result; use `async with asyncio.timeout(...)`:")


def test_only_named_places_catch_everything() -> None:
    found = [place for key, place in catch_alls().items() if key not in CATCHES_EVERYTHING]
    fail_if_any(found, "Catch Exception or less, or name the place and the reason in CATCHES_EVERYTHING:")


def test_no_permission_to_catch_everything_outlives_its_place() -> None:
    fail_if_any(sorted(CATCHES_EVERYTHING.keys() - catch_alls()), "Remove from CATCHES_EVERYTHING what is not there:")


def test_the_lowest_floor_imports_the_standard_library_and_msgspec_only() -> None:
    names = lowest_floor()
    floor = [path for path in sources("aiq") if path.relative_to(ROOT / "aiq").with_suffix("").parts[0] in names]
    found = [
        f"{where(path, node)}: {module}"
        for path in floor
        for module, node in imported_modules(tree_of(path))
        if module.split(".")[0] not in FLOOR_ONE_MAY_IMPORT
    ]
    fail_if_any(found, "Floor 1 may not import:")


def test_rules_have_no_clock_no_files_and_no_loop() -> None:
    found = [
        f"{where(path, node)}: {module}"
        for path in sources("aiq/rules")
        for module, node in imported_modules(tree_of(path))
        if module.split(".")[0] in RULES_MAY_NOT_IMPORT
    ]
    fail_if_any(found, "Rules are pure: pass `now_ms` and `rng` in. They may not import:")


def test_the_conformance_suite_knows_no_store_by_name() -> None:
    found = [
        f"{where(path)}:{number}: {line.strip()}"
        for path in sources("tests/conformance")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(name in line.lower() for name in STORE_NAMES)
    ]
    fail_if_any(found, "The suite is for every store; what differs is a declared capability:")


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in sources("tests")}
    found = [where(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()]
    fail_if_any(found, "Without an __init__.py two test files of one name cannot be told apart:")


def test_a_program_on_sqlite_loads_three_distributions_at_most_and_never_a_test_tool(tmp_path: Path) -> None:
    loaded = set(run_python(OPEN_A_QUEUE_AND_NAME_WHAT_WAS_LOADED, tmp_path).split())

    assert not loaded & {"hypothesis", "pytest", "rich", "starlette", "uvicorn"}
    assert len(loaded) <= MAX_THIRD_PARTY_DISTRIBUTIONS, loaded


def test_only_a_cron_expression_loads_the_library_that_reads_it(tmp_path: Path) -> None:
    assert run_python(NAME_WHO_LOADS_CRON, tmp_path).split() == ["False", "False", "True"]


NAME_WHO_LOADS_CRON = """
import sys
import aiq
import aiq.cli.main

@aiq.task
def work() -> None: ...

print("cronsim" in sys.modules)
aiq.Schedule("a", work.job(), every=60)
print("cronsim" in sys.modules)
aiq.Schedule("b", work.job(), cron="0 3 * * *")
print("cronsim" in sys.modules)
"""


OPEN_A_QUEUE_AND_NAME_WHAT_WAS_LOADED = """
import asyncio, importlib.metadata, sys

before = set(sys.modules)
import aiq

async def main():
    async with aiq.Queue("sqlite:///jobs.db"):
        pass

asyncio.run(main())
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
owners = importlib.metadata.packages_distributions()
print(*sorted({owner for name in loaded for owner in owners.get(name, [])} - {"aiq"}))
"""
