"""Wrong storages, to measure the conformance suite with: the reference, each with one fault.

A mutant is data: a few lines of the reference, or of the rules, and what stands there instead. It is loaded as a
copy of the packages that hold them, so that the true ones go on beside it. The reference would notice many of its
own faults; a mutant does not: its audit finds nothing, and its table of states forbids nothing, so that the suite
has to see each fault from outside.

Each mutant is a backend for pytest, `--aiq-backend=aiq.testing.mutants:NAME`, and is tried on the tests of the
clauses that it breaks; as `anywhere_NAME` it is tried on all.
"""

import importlib.util
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

import aiq.backends.memory.storage
import aiq.rules
from aiq.storage import Storage
from aiq.testing.clock import Clock
from aiq.testing.mutants import (
    budgets,
    calls,
    dead,
    deadlines,
    events,
    flows,
    forgetting,
    holds,
    jobs,
    keys,
    limits,
    moving,
    order,
    pools,
    runs,
    schedules,
    settling,
    storage,
    streams,
    unique,
    usage,
    workers,
)
from aiq.testing.mutants.mutant import Edit, Mutant

COPIED: Final = ("aiq.backends.memory", "aiq.rules")
BLIND: Final = (
    Edit("aiq.rules.states", "    row = TRANSITIONS[number]\n", "    return\n    row = TRANSITIONS[number]\n"),
    Edit("aiq.backends.memory.audit", "    check_limit(limit)\n", "    check_limit(limit)\n    return []\n"),
)
MUTANTS: Final[dict[str, Mutant]] = {
    **jobs.MUTANTS,
    **keys.MUTANTS,
    **runs.MUTANTS,
    **flows.MUTANTS,
    **streams.MUTANTS,
    **storage.MUTANTS,
    **limits.MUTANTS,
    **calls.MUTANTS,
    **settling.MUTANTS,
    **budgets.MUTANTS,
    **holds.MUTANTS,
    **order.MUTANTS,
    **pools.MUTANTS,
    **usage.MUTANTS,
    **forgetting.MUTANTS,
    **moving.MUTANTS,
    **events.MUTANTS,
    **schedules.MUTANTS,
    **workers.MUTANTS,
    **deadlines.MUTANTS,
    **dead.MUTANTS,
    **unique.MUTANTS,
}


class MutantBackend:
    """Opens a mutant. `clauses` tells the plugin which tests it is tried on; None is all of them."""

    def __init__(self, clauses: tuple[str, ...] | None, edits: tuple[Edit, ...]) -> None:
        self.clauses = clauses
        self._edits = edits
        self._module: ModuleType | None = None

    @asynccontextmanager
    async def __call__(self, clock: Clock) -> AsyncIterator[Storage]:
        """Open it, empty."""
        if self._module is None:
            self._module = _load(self._edits)
        opened: Storage = await self._module.open_memory("memory://", clock)
        try:
            yield opened
        finally:
            await opened.close()


def __getattr__(name: str) -> MutantBackend:
    """Mutants by name, for pytest; `control` is the blind reference without any fault."""
    if name == "control":
        return MutantBackend(None, BLIND)
    known = MUTANTS.get(name.removeprefix("anywhere_"))
    if known is None:
        raise AttributeError(name)
    return MutantBackend(known.clauses if name in MUTANTS else None, (*BLIND, *known.edits))


def _load(edits: tuple[Edit, ...]) -> ModuleType:
    """Import the copied packages once more, with the edits, and leave `sys.modules` as it was."""
    finder = _Finder(edits)
    originals = _forget_copied()
    sys.meta_path.insert(0, finder)
    try:
        module = import_module("aiq.backends.memory.storage")
    finally:
        sys.meta_path.remove(finder)
        _forget_copied()
        sys.modules.update(originals)
        # An import also makes a package an attribute of the one it is in.
        aiq.rules, aiq.backends.memory = originals["aiq.rules"], originals["aiq.backends.memory"]
    assert not finder.unused, f"nothing imported {finder.unused}"
    return module


def _forget_copied() -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(COPIED)}


class _Finder(MetaPathFinder):
    """Finds the modules that are copied, with their edits; the others are found as always."""

    def __init__(self, edits: tuple[Edit, ...]) -> None:
        self._edits = edits
        self.unused = {edit.module for edit in edits}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path, target) if fullname.startswith(COPIED) else None
        if found is None or found.origin is None:
            return None
        self.unused.discard(fullname)
        loader = _Edited(fullname, found.origin, tuple(edit for edit in self._edits if edit.module == fullname))
        places = found.submodule_search_locations
        return importlib.util.spec_from_file_location(
            fullname, found.origin, loader=loader, submodule_search_locations=places
        )


class _Edited(SourceFileLoader):
    def __init__(self, name: str, path: str, edits: tuple[Edit, ...]) -> None:
        super().__init__(name, path)
        self._own_edits = edits

    def get_code(self, fullname: str) -> CodeType:
        return _compiled(self.get_filename(fullname), self._own_edits)


@cache
def _compiled(path: str, edits: tuple[Edit, ...]) -> CodeType:
    """A module as it is edited. Most are not, and are compiled once for all mutants: that takes the longest."""
    source = Path(path).read_text(encoding="utf-8")
    for edit in edits:
        if source.count(edit.old) != 1:
            raise ImportError(f"{edit.module} has not one, but {source.count(edit.old)} times: {edit.old!r}")
        source = source.replace(edit.old, edit.new)
    return compile(source, path, "exec")
