"""The simulator as a running server, in a thread and loop of its own."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import uvicorn

from aiq.testing.provider.answers import Pace
from aiq.testing.provider.app import App
from aiq.testing.provider.faults import Fault, Faults
from aiq.testing.provider.ledger import Ledger
from aiq.testing.provider.limiter import Limiter
from aiq.testing.provider.limits import RateLimit

LOOPBACK: Final = "127.0.0.1"
"""The only address it ever listens on: the control endpoints ask nobody who he is."""
MAX_CONNECTIONS: Final = 4_096
"""Connections above this are answered 503 by the server itself."""
KEEP_ALIVE_S: Final = 75
"""Longer than clients keep an idle connection, so that it is never closed under a request on its way."""
STOP_S: Final = 1
"""Answers under way end at once when it stops; a request that is still being sent gets this long."""


class Provider:
    """An OpenAI-compatible provider that costs nothing: a context manager, `async with` or `with`, to be used once.

    It runs in a thread of its own, so that it goes on answering while the caller's loop is blocked or gone.
    Latencies are seconds. Limits, faults and ledger may be used from any thread, also after the end. `clock` is what
    the limits go by, in nanoseconds.

    Raises:
        ValueError: a latency is negative, or there are too many faults or limits.
        OSError: the ledger's file cannot be written; or, on entry, the port is taken.
    """

    def __init__(
        self,
        *,
        latency_first_token: float = 0.005,
        latency_per_token: float = 0.001,
        latency_per_input_token: float = 0.0,
        limits: Iterable[RateLimit] = (),
        faults: Iterable[Fault] = (),
        models: Sequence[str] = ("simulated",),
        ledger_file: Path | None = None,
        port: int = 0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._pace = Pace(latency_first_token, latency_per_token, latency_per_input_token)
        self._models = models
        self.limits = Limiter(limits, clock=clock)
        self.faults = Faults(faults)
        self.ledger = Ledger(ledger_file)
        self._port = port
        self._thread: threading.Thread | None = None
        # What comes of starting is the function that stops; both futures are set by the thread.
        self._stop: Future[Callable[[], object]] = Future()
        self._ended: Future[None] = Future()

    @property
    def url(self) -> str:
        """Where the entered server is, `http://127.0.0.1:PORT`; its control endpoints are below `/control`."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def base_url(self) -> str:
        """What `openai.AsyncOpenAI(base_url=…)` takes."""
        return f"{self.url}/v1"

    def __enter__(self) -> Self:
        self._start()
        self._stop.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._ended.result()
        self._join()

    async def __aenter__(self) -> Self:
        self._start()
        try:
            await asyncio.wrap_future(self._stop)
        except asyncio.CancelledError:
            self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        await asyncio.wrap_future(self._ended)
        self._join()

    def _start(self) -> None:
        if self._thread is not None:
            raise RuntimeError("A provider is used once; make another, with the same `port` if that matters.")
        try:
            listener = _listener(self._port)
        except OSError:
            self.ledger.close()
            raise
        self._port = listener.getsockname()[1]
        # A running future cannot be cancelled: a caller who gives up waiting must not confuse the thread.
        self._stop.set_running_or_notify_cancel()
        self._ended.set_running_or_notify_cancel()
        self._thread = threading.Thread(target=self._run, args=[listener], name="aiq-provider", daemon=True)
        self._thread.start()

    def _end(self) -> None:
        """Stop the server, as soon as it is up if it is not yet."""
        self._stop.add_done_callback(lambda stop: None if stop.exception() else stop.result()())

    def _join(self) -> None:
        """Let the thread, which has nothing left to do, be gone when its owner goes on."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, listener: socket.socket) -> None:
        try:
            with closing(self.ledger), closing(listener):
                asyncio.run(self._serve(listener))
        except Exception as error:  # noqa: BLE001 (it is raised again where the caller waits)
            if not self._stop.done():
                self._stop.set_exception(error)
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self, listener: socket.socket) -> None:
        app = App(pace=self._pace, models=self._models, limiter=self.limits, faults=self.faults, ledger=self.ledger)
        loop = asyncio.get_running_loop()
        with _expected_endings_unlogged():
            server = await _started_server(app, listener)
            self._stop.set_result(lambda: loop.call_soon_threadsafe(app.stopping.set))
            await app.stopping.wait()
            await _shut_down(server)


def _listener(port: int) -> socket.socket:
    # With the protocol named, unlike `socket.create_server`: only then does asyncio turn off Nagle's algorithm,
    # which costs 40 ms for each answer, since headers and body are two writes.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A provider that comes back on its port need not wait for the connections of the one before.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(socket.SOMAXCONN)
    except OSError:
        listener.close()
        raise
    return listener


async def _started_server(app: App, listener: socket.socket) -> uvicorn.Server:
    """Do what `uvicorn.Server.serve` does before its main loop, which only polls for a reason to stop."""
    config = uvicorn.Config(
        app.asgi(),
        # Slower than httptools (about 2,100 and 3,200 small calls a second on one core), but enough, and plain Python.
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    await server.on_tick(0)
    return server


async def _shut_down(server: uvicorn.Server) -> None:
    """Do what `uvicorn.Server.shutdown` does, without the tenth of a second that it sleeps: tests end often."""
    for listening in server.servers:
        listening.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    if server.server_state.tasks:
        # Those still there after that are cancelled when the loop is closed.
        await asyncio.wait(server.server_state.tasks, timeout=STOP_S)


@contextmanager
def _expected_endings_unlogged() -> Iterator[None]:
    """Keep uvicorn from logging as errors the answers that are broken off on purpose."""

    def unexpected(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("ASGI callable returned without")

    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(unexpected)
    try:
        yield
    finally:
        logger.removeFilter(unexpected)
