"""A client for chat completions that costs little: what is measured shares two cores with what measures.

It keeps connections alive, sends one small request on each at a time, and reads answers whole. It retries nothing.
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from benchmarks.ratelimit.traces import Call

MODEL: Final = "simulated"
OK: Final = 200
THROTTLED: Final = 429


class Usage(msgspec.Struct, frozen=True):
    """What a call used, as the provider's answer says it."""

    prompt_tokens: int
    completion_tokens: int


class _Completion(msgspec.Struct):
    usage: Usage


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; the names of headers are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def throttled(self) -> bool:
        """Whether the provider's limit refused it."""
        return self.status == THROTTLED

    @property
    def retry_after_s(self) -> float | None:
        """Real seconds after which the provider says that it will accept this call; None if it does not say."""
        text = self.headers.get("retry-after-ms")
        return None if text is None else float(text) / 1000

    @property
    def usage(self) -> Usage:
        """What the call used, of an answer that was not refused."""
        return msgspec.json.decode(self.body, type=_Completion).usage


@dataclass(frozen=True, slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Client:
    """One a process; used by its tasks at once."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._host, self._port, self._base = parts.hostname, parts.port, parts.path
        self._idle: list[_Connection] = []

    async def complete(self, job: str, number: int, call: Call) -> Answer:
        """Make one call of a job. Its name goes along, so that the provider's ledger knows whose it is.

        Raises:
            RuntimeError: it was answered with neither 200 nor 429, so that no figure of this run means anything.
        """
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Go on."}],
            "max_tokens": call.max_output,
            "aiq_simulate": {"input": call.input, "output": call.output},
        }
        request = self._request("POST", f"{self._base}/chat/completions", msgspec.json.encode(body), f"{job}/{number}")
        answer = await self._exchange(request)
        if answer.status not in {OK, THROTTLED}:
            raise RuntimeError(f"A call was answered with {answer.status}: {answer.body.decode(errors='replace')}")
        return answer

    async def get(self, path: str) -> bytes:
        """Read a control endpoint; any answer but 200 is an error of the benchmark."""
        answer = await self._exchange(self._request("GET", f"{self._base}{path}", b"", ""))
        if answer.status != OK:
            raise RuntimeError(f"{path} was answered with {answer.status}: {answer.body.decode(errors='replace')}")
        return answer.body

    def close(self) -> None:
        """Close what is idle; calls under way lose their connection when their task is cancelled."""
        for connection in self._idle:
            connection.writer.close()
        self._idle.clear()

    def _request(self, method: str, path: str, body: bytes, key: str) -> bytes:
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\ncontent-type: application/json\r\n"
            f"idempotency-key: {key}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def _exchange(self, request: bytes) -> Answer:
        connection = await self._connection()
        whole = False
        try:
            connection.writer.write(request)
            answer = await _read(connection.reader)
            whole = True
        finally:
            if whole:
                self._idle.append(connection)
            else:
                # Half an answer may still come: nobody else must get it.
                connection.writer.close()
        return answer

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.writer.close()
        return _Connection(*await asyncio.open_connection(self._host, self._port))


async def _read(reader: asyncio.StreamReader) -> Answer:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await _chunks(reader)
    return Answer(int(first.split(" ", 2)[1]), headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return bytes(body)
