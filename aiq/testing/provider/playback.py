"""A response that plays a script by the clock, and records how it ended."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send

from aiq.testing.provider.answers import Script
from aiq.testing.provider.ledger import Entry, Ledger, Outcome
from aiq.testing.provider.limiter import Admission


@dataclass(slots=True)
class Playback:
    """An ASGI response: the script's frames, each when it is due, until the end, the client's leaving, or a stop."""

    script: Script
    entry: Entry
    ledger: Ledger
    admission: Admission
    stopping: asyncio.Event
    arrived: float
    """`time.monotonic()` of the call's arrival: the zero of the script's clock."""
    _recorded: bool = field(default=False, init=False)
    _headers_sent: bool = field(default=False, init=False)

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A broken or stopped answer is left incomplete, and the server drops its connection."""
        try:
            await _first_of(self._play(send), self._until_client_leaves(receive), self._until_stopped())
        finally:
            # Whatever ended it otherwise, an error of our own included, no call stays "running".
            self._record(Outcome.STOPPED)

    async def _play(self, send: Send) -> None:
        *earlier, last = self.script.frames
        for frame in earlier:
            await self._sleep_until(frame.due)
            await self._send(frame.body, send, more_body=True)
        await self._sleep_until(last.due)
        # Before the bytes: a client that has seen the end finds it in the ledger.
        self._record(self.script.outcome)
        await self._send(last.body, send, more_body=self.script.outcome is Outcome.CUT)

    async def _send(self, body: bytes, send: Send, *, more_body: bool) -> None:
        if not self._headers_sent:
            self._headers_sent = True
            await send({"type": "http.response.start", "status": self.script.status, "headers": self._headers()})
        await send({"type": "http.response.body", "body": body, "more_body": more_body})

    async def _sleep_until(self, due: float) -> None:
        # Also when nothing is left to sleep: other calls, and the news that the client left, must get their turn.
        await asyncio.sleep(max(0.0, due - self._elapsed()))

    async def _until_client_leaves(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._record(Outcome.ABANDONED)

    async def _until_stopped(self) -> None:
        await self.stopping.wait()
        self._record(Outcome.STOPPED)

    def _record(self, outcome: Outcome) -> None:
        if self._recorded:
            return
        self._recorded = True
        ended_early = outcome in {Outcome.ABANDONED, Outcome.STOPPED}
        sent = self._headers_sent or not ended_early
        made = self.script.tokens_by(self._elapsed()) if ended_early else self.script.tokens_out
        self.admission.end(made)
        self.ledger.finish(self.entry, outcome, tokens_out=made, status=self.script.status if sent else None)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        own = [(b"content-type", self.script.content_type.encode()), (b"x-request-id", self.entry.id.encode())]
        if len(self.script.frames) == 1 and self.script.outcome is not Outcome.CUT:
            # With a known length the server need not send it in chunks, which would be one write more.
            own.append((b"content-length", b"%d" % len(self.script.frames[0].body)))
        return own + self.admission.headers

    def _elapsed(self) -> float:
        return time.monotonic() - self.arrived


async def _first_of(*coroutines: Coroutine[object, object, None]) -> None:
    """Run until the first ends, cancel and await the others, and raise what any of those that ended raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
