"""The pages run: every Python block, with the values and errors that it shows; and every link leads somewhere."""

import ast
import asyncio
import importlib
import inspect
import io
import re
import signal
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

import aiq

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
RUN = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]
LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "spec").glob("*.md"))]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"# (\w+)\.py\n")
WORKER = re.compile(r"aiq worker (\S+)\n")


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences. `line` is that of the opening one."""

    language: str
    text: str
    line: int


def blocks_of(page: str) -> list[Block]:
    return [Block(m[1], m[2], page.count("\n", 0, m.start()) + 1) for m in FENCE.finditer(page)]


class Shown:
    """What the comments of a page say, and which of them have been seen to be true."""

    def __init__(self) -> None:
        self.open: set[int] = set()

    def value(self, value: object, text: str, line: int) -> None:
        assert agrees(text, repr(value)) or agrees(text, str(value)), f"line {line} gives {value!r}, not {text}"
        self.open.discard(line)

    @contextmanager
    def error(self, text: str, line: int) -> Iterator[None]:
        raised: Exception | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it is compared with what is shown
            raised = error
        assert raised is not None, f"line {line} does not raise {text}"
        kind, _, message = text.partition(": ")
        same = type(raised).__name__ == kind and agrees(message or "…", str(raised))
        assert same, f"line {line} raises {type(raised).__name__}: {raised}, not {text}"
        self.open.discard(line)


def agrees(text: str, actual: str) -> bool:
    """Whether a text that was shown is the actual one; `…` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, text.split("…"))), actual, re.DOTALL) is not None


class Checked(ast.NodeTransformer):
    """Puts a check in the place of each line that shows its value or its error."""

    def __init__(self, comments: dict[int, str], first: int) -> None:
        self.comments, self.first = comments, first

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        line = node.end_lineno or 0
        comment = self.comments.pop(line, None)
        if comment is None:
            return node
        kind, _, text = comment.partition(" ")
        told = f"({text!r}, {self.first + line})"
        if kind == "->":
            made = ast.parse(f"__shown__.value{told}").body[0]
            assert isinstance(made, ast.Expr)
            assert isinstance(made.value, ast.Call)
            made.value.args.insert(0, node.value)
        else:
            made = ast.parse(f"with __shown__.error{told}: pass").body[0]
            assert isinstance(made, ast.With)
            made.body = [node]
        return ast.fix_missing_locations(made)


def comments_of(source: str) -> dict[int, str]:
    """The comments that show something, by their line: "-> value" or "raises Error: text"."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    told = {token.start[0]: token.string[2:] for token in tokens if token.type == tokenize.COMMENT}
    return {line: text for line, text in told.items() if text.startswith(("-> ", "raises "))}


class Program:
    """Runs the blocks of one page, one after the other, as one program in `folder`."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page = page
        self.module = ModuleType(f"page_{page.stem}")
        self.folder = folder
        self.shown = Shown()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.names = vars(self.module)
        self.names["__shown__"] = self.shown

    def run(self, page: str) -> None:
        with ExitStack() as stack:
            sys.modules[self.module.__name__] = self.module
            stack.callback(sys.modules.pop, self.module.__name__)
            stack.callback(self.end_workers)
            runner = stack.enter_context(asyncio.Runner(loop_factory=asyncio.new_event_loop))
            for block in blocks_of(page):
                if block.language == "python":
                    self.perform(block, runner, stack)
                elif block.language == "sh":
                    self.start_workers(block)
        assert {worker.returncode for worker in self.workers} <= {0}, "a worker did not end well"
        assert not self.shown.open, f"lines {sorted(self.shown.open)} show something and were never reached"

    def perform(self, block: Block, runner: asyncio.Runner, stack: ExitStack) -> None:
        if file := FILE.match(block.text):
            self.import_file(file[1], block, stack)
            return
        comments = comments_of(block.text)
        self.shown.open |= {block.line + line for line in comments}
        tree = Checked(comments, block.line).visit(ast.parse(block.text))
        assert not comments, f"block at line {block.line}: {comments} do not stand at the end of an expression"
        ast.increment_lineno(tree, block.line)
        code = compile(tree, self.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        answer = eval(code, self.names)
        if inspect.iscoroutine(answer):
            runner.run(answer)

    def import_file(self, name: str, block: Block, stack: ExitStack) -> None:
        """A block that begins with the name of a file is that file, and its tests are run."""
        (self.folder / f"{name}.py").write_text(block.text, encoding="utf-8")
        sys.modules.pop(name, None)  # another test may have left a module of this name
        stack.callback(sys.modules.pop, name, None)
        for key, value in vars(importlib.import_module(name)).items():
            if key.startswith("test_"):
                value()

    def start_workers(self, block: Block) -> None:
        for target in WORKER.findall(block.text):
            command = [sys.executable, "-m", "aiq", "worker", target]
            quiet = subprocess.DEVNULL
            self.workers.append(subprocess.Popen(command, cwd=self.folder, stdout=quiet, stderr=quiet))

    def end_workers(self) -> None:
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=10)


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def broken_links(page: Path, text: str) -> list[str]:
    return [target for target in LINK.findall(FENCE.sub("", text)) if "://" not in target and not leads(page, target)]


def leads(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    there = page.parent / path if path else page
    if not there.exists() or not anchor:
        return there.exists()
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", there.read_text(encoding="utf-8")), re.MULTILINE)
    return anchor in map(slug, headings)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, where modules are found too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_a_page_runs_and_gives_what_it_shows(page: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text(encoding="utf-8")

    Program(page, folder).run(text)

    printed = "".join(block.text for block in blocks_of(text) if block.language == "text")
    assert capsys.readouterr().out == printed or not printed


@aiq.task
def measure(text: str) -> int:
    return len(text)


async def test_the_backup_of_an_open_file_is_a_whole_storage(folder: Path) -> None:
    program = Program(DOCS / "sqlite.md", folder)
    await asyncio.to_thread(program.run, program.page.read_text(encoding="utf-8"))
    back_up = program.names["back_up"]

    async with aiq.Queue("sqlite:///jobs.db?synchronous=normal") as queue:
        job = await queue.enqueue(measure.job("text"), id="a")
        back_up("jobs.db", "copy.db")
        await queue.enqueue(measure.job("text"), id="b")

    async with aiq.Queue("sqlite:///copy.db?synchronous=normal") as copy:
        assert [record.id for record in (await copy.list()).jobs] == [job.id]
        assert await copy.storage.audit() == []


def test_the_command_of_the_page_runs_the_suite_on_the_factory_of_the_page(folder: Path) -> None:
    page = (DOCS / "backends.md").read_text(encoding="utf-8")
    Program(DOCS / "backends.md", folder).run(page)
    (command,) = re.findall(r"^python (-m pytest .+)$", page, re.MULTILINE)
    one_chapter = command.replace("aiq.testing.conformance", "aiq.testing.conformance.test_signals").split()

    done = subprocess.run([sys.executable, *one_chapter, "-k", "kept"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert re.search(r"SIG +\d+ +\d+ passed$", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken_links(page, page.read_text(encoding="utf-8"))


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")

    assert {page.name for page in DOCS.glob("*.md")} <= {*LINK.findall(index), "README.md"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1 + 1  # -> 3", "line 4 gives 2, not 3"),
        ("int('x')  # raises KeyError", "line 4 raises ValueError"),
        ("int('x')  # raises ValueError: no text", "line 4 raises ValueError"),
        ("int('1')  # raises ValueError", "line 4 does not raise ValueError"),
        ("x = 1  # -> 1", "do not stand at the end of an expression"),
        ("for x in ():\n    x  # -> 1", "were never reached"),
    ],
)
def test_a_page_that_shows_what_is_not_so_fails(line: str, told: str, tmp_path: Path) -> None:
    page = f"# Page\n\n```python\n{line}\n```\n"

    with pytest.raises(AssertionError, match=re.escape(told)):
        Program(Path("a_test.md"), tmp_path).run(page)


def test_a_link_to_no_file_or_no_heading_is_found() -> None:
    text = "[a](README.md) [b](nothing.md) [c](spec/README.md#nothing) [d](#there) [e](spec/09-storage.md#bounds)"

    assert broken_links(ROOT / "README.md", text) == ["nothing.md", "spec/README.md#nothing", "#there"]
