"""A TCP proxy that breaks what goes through it, when a test says so: deterministically, and once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CHUNK = 65_536


@dataclass(eq=False, slots=True)
class _Line:
    """One connection, both its halves."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    doomed: bool = False
    pumps: set[asyncio.Task[None]] = field(default_factory=set)

    def cut(self) -> None:
        """A reset, as when a machine falls over."""
        for writer in (self.client, self.server):
            writer.transport.abort()


class Proxy:
    """Stands between a client and `port`. It passes everything on, unless it is told otherwise."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.delay_s = 0.0
        self.lost: list[bytes] = []
        """What a request held whose reply was dropped."""
        self._lines: set[_Line] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._words: list[bytes] = []
        self._listening: asyncio.Server | None = None

    def drop_reply(self, word: bytes, times: int = 1) -> None:
        """Pass on the next request that holds a word, and not its reply: cut the connection when that comes."""
        self._words += [word] * times

    def go_dark(self) -> None:
        """Pass nothing on any more, and cut nothing: nobody hears of it."""
        self._open.clear()

    def light_up(self) -> None:
        """Pass on again, what waits first."""
        self._open.set()

    def cut(self) -> None:
        """Cut every connection."""
        for line in tuple(self._lines):
            line.cut()

    @property
    def lines(self) -> int:
        """How many connections there are."""
        return len(self._lines)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        line = _Line(writer, forth)
        self._lines.add(line)
        line.pumps = {
            asyncio.create_task(self._pump(line, reader, forth, asked=True)),
            asyncio.create_task(self._pump(line, back, writer, asked=False)),
        }
        await asyncio.wait(line.pumps)
        self._lines.discard(line)

    async def _pump(
        self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asked: bool
    ) -> None:
        try:
            while data := await reader.read(CHUNK):
                await self._open.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if asked:
                    line.doomed = line.doomed or self._wanted(data)
                elif line.doomed:
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            line.cut()

    def _wanted(self, data: bytes) -> bool:
        for word in self._words:
            if word in data:
                self._words.remove(word)
                self.lost.append(word)
                return True
        return False

    async def start(self) -> None:
        """Listen."""
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def end(self) -> None:
        """Stop listening, and cut what is there."""
        assert self._listening is not None
        self._listening.close()
        self.light_up()
        pumps = [pump for line in self._lines for pump in line.pumps]
        self.cut()
        if pumps:
            await asyncio.wait(pumps)


@asynccontextmanager
async def proxied(port: int) -> AsyncIterator[Proxy]:
    """A proxy in front of a port."""
    proxy = Proxy(port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.end()
