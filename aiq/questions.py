"""Questions that several callers have for a storage go to it together: while one call is under way, the next gathers.

Whoever asks the same shares the answer. Nobody waits for company beyond the turn of the loop in which he asks, and no
timer decides how long anything waits: who is alone asks by himself.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar
from weakref import WeakValueDictionary, ref

from aiq.bounds import MAX_BATCH
from aiq.errors import OF_STORAGE, Unavailable, twin
from aiq.storage import Storage

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")

_ENDED: Final = "The task that asked for several callers was told to end."


class Questions(Generic[Q, A]):
    """Asks for the callers of one loop. No answer is older than its question: it is one of a call that began later.

    `ask` takes up to MAX_BATCH questions, and answers each, or to one with an error.
    """

    def __init__(self, ask: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]]) -> None:
        self._ask = ask
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Q, list[asyncio.Future[A]]] = {}
        self._is_busy = False
        self._driver: asyncio.Task[None] | None = None

    async def answer(self, question: Q, *, at_once: bool = False) -> A:
        """What the storage says to a question. Whoever is cancelled takes nothing from the others.

        Whoever comes first waits until the turn of the loop is over, and asks for all who are woken in it, too: a crowd
        would else fall into ever more parts. Where hardly anybody can come along, let him ask `at_once`.

        Raises:
            Exception: that of the call, or of this one question. Each who shares it hears an error of his own.
        """
        own: asyncio.Future[A] = self._loop.create_future()
        self._waiting.setdefault(question, []).append(own)
        try:
            if not self._is_busy:
                await self._begin(at_once=at_once)
            return await own
        finally:
            # In a loop that was closed meanwhile nobody hears of anything.
            if not self._loop.is_closed() and not own.cancel() and not own.cancelled():
                # Whoever is cancelled as an error comes has heard of it.
                own.exception()

    async def _begin(self, *, at_once: bool) -> None:
        self._is_busy = True
        try:
            if not at_once:
                await asyncio.sleep(0)
            if len(self._waiting) == 1 and all(len(waiting) == 1 for waiting in self._waiting.values()):
                await self._tell(self._next())
        finally:
            self._go_on()

    def _go_on(self) -> None:
        """Whoever has asked first may be gone by the next call: a task of our own makes those for the others."""
        if not self._waiting or self._loop.is_closed():
            self._is_busy = False
            return
        # What one caller has set in his context is not for what is asked for others.
        self._driver = self._loop.create_task(self._drive(), context=contextvars.Context())
        # A callback and no `finally`: a task that is cancelled before it began runs neither of its own lines.
        self._driver.add_done_callback(lambda _: self._go_on())

    async def _drive(self) -> None:
        while together := self._next():
            try:
                await self._tell(together)
            finally:
                # Where the task itself is cancelled nobody is left waiting.
                for waiting in together.values():
                    _hand_over(waiting, Unavailable(_ENDED))
            # Whoever was answered and asks on goes along with the next.
            await asyncio.sleep(0)

    def _next(self) -> dict[Q, list[asyncio.Future[A]]]:
        """The first of those questions that somebody still has, as many as go into one call."""
        together: dict[Q, list[asyncio.Future[A]]] = {}
        while self._waiting and len(together) < MAX_BATCH:
            question = next(iter(self._waiting))
            waiting = [own for own in self._waiting.pop(question) if not own.done()]
            if waiting:
                together[question] = waiting
        return together

    async def _tell(self, together: dict[Q, list[asyncio.Future[A]]]) -> None:
        """Make one call. Where it fails for what one of them asks, or for what is stored of that, each has his own."""
        answers: Sequence[A | Exception]
        try:
            answers = await self._ask(list(together))
        except Exception as error:  # noqa: BLE001 - it is the answer to each of them
            if len(together) > 1 and not isinstance(error, OF_STORAGE):
                for question, waiting in together.items():
                    await self._tell({question: waiting})
                return
            answers = [error, *[twin(error) for _ in range(1, len(together))]]
        for waiting, answer in zip(together.values(), answers, strict=True):
            _hand_over(waiting, answer)


def _hand_over(waiting: list[asyncio.Future[A]], answer: A | Exception) -> None:
    is_heard = False
    for own in waiting:
        if own.done():
            continue
        if isinstance(answer, Exception):
            own.set_exception(twin(answer) if is_heard else answer)
        else:
            own.set_result(answer)
        is_heard = True


_Place: TypeAlias = tuple[ref[Storage], ref[asyncio.AbstractEventLoop], Hashable]

# Any: each place has questions and answers of its own kind.
_open: Final[WeakValueDictionary[_Place, Questions[Any, Any]]] = WeakValueDictionary()
"""Those under way. They are held by who asks alone, so that those of a loop that is closed before go with it."""


def questions(
    storage: Storage, about: Hashable, ask: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]]
) -> Questions[Q, A]:
    """Those about one thing, of whoever asks this storage in this loop. `ask` must always be the same for one thing."""
    place = (ref(storage), ref(asyncio.get_running_loop()), about)
    found = _open.get(place)
    if found is None:
        found = _open[place] = Questions(ask)
    return found
