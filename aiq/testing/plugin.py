"""The pytest plugin that runs the conformance suite on any storage. Load it with `-p aiq.testing`.

    pytest -p aiq.testing --pyargs aiq.testing.conformance --aiq-backend=mydb.testing:open_storage

`open_storage(clock)` is an async context manager that yields an empty storage which takes its time from `clock`.
The option may be given several times; a backend is named by its factory, and is the id of its tests.
"""

import asyncio
import inspect
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TypeAlias, cast

import pytest

from aiq.model import Capability
from aiq.storage import Storage
from aiq.testing.clock import Clock
from aiq.testing.report import Conformance, Verdict

Backend: TypeAlias = Callable[[Clock], AbstractAsyncContextManager[Storage]]
"""Opens an empty storage that lives by a clock."""


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    open: Backend

    @property
    def clauses(self) -> Collection[str] | None:
        return getattr(self.open, "clauses", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("aiq", "the conformance suite of aiq")
    group.addoption(
        "--aiq-backend",
        action="append",
        default=[],
        metavar="MODULE:FACTORY",
        help="a storage to try: an async context manager that takes a clock and yields an empty storage",
    )
    group.addoption("--aiq-report", type=Path, metavar="FILE", help="write the report, clauses by backend, as JSON")
    group.addoption(
        "--aiq-effort",
        choices=("dev", "ci", "nightly"),
        default="dev",
        help="how many random histories the model test tries",
    )
    group.addoption(
        "--aiq-first-failure",
        action="store_true",
        help="give a backend up at its first failure, and go on with the others",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known, and begin the report."""
    config.addinivalue_line("markers", "clause(*numbers): the clauses of spec/ that a test proves.")
    config.addinivalue_line("markers", "requires(*capabilities): what a storage must have for a test to apply.")
    config.pluginmanager.register(_Reporter(config), "aiq-report")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that opens a storage once for each backend.

    A factory that names `clauses` is tried on the tests of these only; that is how mutants are tried.
    """
    if "aiq_backend" not in metafunc.fixturenames:
        return
    addresses = metafunc.config.getoption("--aiq-backend")
    if not addresses:
        raise pytest.UsageError("Name a storage to try: --aiq-backend=MODULE:FACTORY")
    short = [address.rpartition(":")[2] for address in addresses]
    names = short if len(set(short)) == len(short) else addresses
    proved = set(_clauses(metafunc.definition))
    backends = [_Named(name, _load(address)) for name, address in zip(names, addresses, strict=True)]
    tried = [backend for backend in backends if backend.clauses is None or proved & set(backend.clauses)]
    metafunc.parametrize("aiq_backend", tried, ids=[backend.name for backend in tried], indirect=True)


def _clauses(item: pytest.Item) -> list[str]:
    return [number for mark in item.iter_markers("clause") for number in mark.args]


@cache
def _load(address: str) -> Backend:
    module, colon, name = address.partition(":")
    if not colon:
        raise pytest.UsageError(f"--aiq-backend={address} is not of the form MODULE:FACTORY.")
    return cast(Backend, getattr(import_module(module), name))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run a coroutine test in the loop of its storage.

    As a wrapper it comes before every asyncio plugin, whatever the order in which they were loaded; each of them
    then finds a plain function and leaves it alone. So the suite needs none of them, and suffers all of them.
    """
    test = inspect.unwrap(pyfuncitem.obj)
    runner = pyfuncitem.funcargs.get("runner")
    if isinstance(runner, asyncio.Runner) and inspect.iscoroutinefunction(test):
        pyfuncitem.obj = lambda **fixtures: runner.run(test(**fixtures))
    return (yield)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """The loop of a test. With a factory of its own it never becomes the policy's current loop, which others close."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    """The clock of a test's storage."""
    return Clock()


@pytest.fixture
def aiq_backend(request: pytest.FixtureRequest) -> Backend:
    """What opens the storage under test; most tests want `storage` instead."""
    return cast(_Named, request.param).open


@pytest.fixture
def storage(
    request: pytest.FixtureRequest, aiq_backend: Backend, runner: asyncio.Runner, clock: Clock
) -> Iterator[Storage]:
    """An empty storage, and in the end an audit of what the test made of it."""
    stack = AsyncExitStack()
    opened = runner.run(stack.enter_async_context(aiq_backend(clock)))
    try:
        _skip_unless_capable(request, opened.capabilities)
        yield opened
        violations = runner.run(opened.audit())
    finally:
        runner.run(stack.aclose())
    assert not violations


def _skip_unless_capable(request: pytest.FixtureRequest, capabilities: frozenset[Capability]) -> None:
    needed = {need for mark in request.node.iter_markers("requires") for need in mark.args}
    if not needed <= capabilities:
        pytest.skip(f"the storage does not declare {', '.join(sorted(needed - capabilities))}")


class _Reporter:
    """Counts as the tests go by. What belongs to the suite is told by a property that travels with each report."""

    def __init__(self, config: pytest.Config) -> None:
        self._conformance = Conformance()
        self._path: Path | None = config.getoption("--aiq-report")
        self._first_failure: bool = config.getoption("--aiq-first-failure")

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        named = item.callspec.params.get("aiq_backend") if hasattr(item, "callspec") else None
        if isinstance(named, _Named):
            item.user_properties.append(("aiq", (named.name, *_clauses(item))))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        told = _told(item.user_properties)
        if told and self._given_up(told[0]):
            pytest.skip("this backend has failed already")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = _told(report.user_properties)
        if not told:
            return
        backend, *clauses = told
        self._conformance.spend(backend, report.duration)
        verdict = _verdict(report)
        if verdict and not (report.skipped and self._given_up(backend)):
            self._conformance.add(backend, report.nodeid, tuple(clauses), verdict, _reason(report))

    def _given_up(self, backend: str) -> bool:
        return self._first_failure and bool(self._conformance.failed(backend))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._conformance.backends:
            terminalreporter.section("conformance")
            for line in self._conformance.lines():
                terminalreporter.write_line(line)
        if self._path is not None:
            self._conformance.write(self._path)


def _told(properties: list[tuple[str, object]]) -> tuple[str, ...]:
    return next((cast(tuple[str, ...], value) for key, value in properties if key == "aiq"), ())


def _reason(report: pytest.TestReport) -> str:
    """The first line of what went wrong, or nothing."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message.partition("\n")[0] if crash is not None else ""


def _verdict(report: pytest.TestReport) -> Verdict | None:
    """None for the phases that prove nothing: a set-up and a tear-down that went well."""
    if report.failed:
        return Verdict.FAILED
    if report.skipped:
        return Verdict.NOT_APPLICABLE
    return Verdict.PASSED if report.when == "call" else None
