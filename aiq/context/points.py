"""The durable points of a run: which names are in use, which key each use has, and which work is under way."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from aiq.errors import DuplicateStep
from aiq.rules.validation import check_step_name

_inside_of: ContextVar[tuple[str, ...]] = ContextVar("aiq_steps_under_way", default=())
"""The steps that the code now running is inside of, the innermost last; tasks that a step starts inherit it."""


class Points:
    """What a run keeps in mind of its durable points while it lasts."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()
        self._names: set[str] = set()
        self._working: set[str] = set()
        self._quiet = asyncio.Event()
        self._leaving = 0
        self._stays = asyncio.Event()

    @property
    def innermost(self) -> str | None:
        """The step that the code now running is inside of."""
        steps = _inside_of.get()
        return steps[-1] if steps else None

    @contextmanager
    def named(self, name: str) -> Iterator[str]:
        """Use a name for a durable point, and tell its key: the name, or from its second use on name#2, name#3 …

        Raises:
            InvalidName: it cannot be a name, or its end would be taken for an ordinal.
            DuplicateStep: the name is in use at this moment.
        """
        check_step_name(name)
        if name in self._names:
            raise DuplicateStep(name)
        self._uses[name] += 1
        self._names.add(name)
        try:
            yield name if self._uses[name] == 1 else f"{name}#{self._uses[name]}"
        finally:
            self._names.remove(name)

    async def until_it_stays(self) -> None:
        """Come to where a step may begin: once it is known of each wait on its way whether the run leaves its worker
        with it. What a step paid meanwhile would be lost."""
        while self._leaving:
            await self._stays.wait()

    @contextmanager
    def inside(self, key: str) -> Iterator[None]:
        """Do the work of a step: its items carry its key, and no branch parks the run before it is saved."""
        token = _inside_of.set((*_inside_of.get(), key))
        self._begin([key])
        try:
            yield
        finally:
            self._end([key])
            _inside_of.reset(token)

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """Come to where the run may leave its worker: once the steps that other branches of the handler are in have
        been saved, for what they paid would be lost with the run. A step that itself waits here does not count."""
        mine = [key for key in _inside_of.get() if key in self._working]
        self._end(mine)
        try:
            while self._working:
                await self._quiet.wait()
            with self._leaves():
                yield
        finally:
            self._begin(mine)

    @contextmanager
    def _leaves(self) -> Iterator[None]:
        self._leaving += 1
        self._stays.clear()
        try:
            yield
        finally:
            self._leaving -= 1
            if not self._leaving:
                self._stays.set()

    def _begin(self, keys: Iterable[str]) -> None:
        self._working.update(keys)
        self._quiet.clear()

    def _end(self, keys: Iterable[str]) -> None:
        self._working.difference_update(keys)
        if not self._working:
            self._quiet.set()
