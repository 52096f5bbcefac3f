"""The simulator's HTTP face: each call goes parse → limit → fault → answer → record, in one place."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from aiq.testing.provider.answers import Pace, error_body, write_script
from aiq.testing.provider.calls import MAX_REQUEST_BYTES, BadRequest, parse
from aiq.testing.provider.faults import Fault, Faults
from aiq.testing.provider.ledger import Entry, Ledger
from aiq.testing.provider.limiter import Limiter, Rejection
from aiq.testing.provider.limits import RateLimit
from aiq.testing.provider.playback import Playback

MAX_PAGE: Final = 10_000
"""Entries that one reading of the ledger over HTTP answers with."""


class App:
    """The endpoints, over the limits, the faults and the ledger that the Python side holds too."""

    def __init__(self, *, pace: Pace, models: Sequence[str], limiter: Limiter, faults: Faults, ledger: Ledger) -> None:
        self._pace = pace
        self._models = tuple(models)
        self._limiter = limiter
        self._faults = faults
        self._ledger = ledger
        self._started_at = int(time.time())
        self.stopping = asyncio.Event()
        """Set from the server's loop: every answer under way ends at once, unfinished."""

    def asgi(self) -> ASGIApp:
        """Build the ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/models", self.models),
                Route("/control/faults", self.list_faults, methods=["GET"]),
                Route("/control/faults", self.add_faults, methods=["POST"]),
                Route("/control/faults", self.clear_faults, methods=["DELETE"]),
                Route("/control/limits", self.read_limits, methods=["GET"]),
                Route("/control/limits", self.set_limits, methods=["POST"]),
                Route("/control/ledger", self.read_ledger),
            ],
            exception_handlers={BadRequest: _refuse},
        )

    async def chat(self, request: Request) -> ASGIApp:
        """Answer a chat completion, streamed or whole. What cannot be parsed is refused and is no call.

        A call over a limit uses up no fault.
        """
        arrived = time.monotonic()
        call = parse(await _body(request), idempotency_key=request.headers.get("idempotency-key"))
        verdict = self._limiter.admit(call)
        if isinstance(verdict, Rejection):
            return _reject(verdict, self._ledger.reject(call, verdict.kind))
        fault = self._faults.take(call.prompt)
        script = write_script(call, fault, self._pace, created=int(time.time()), style=verdict.style)
        entry = self._ledger.start(call, None if fault is None else fault.kind)
        verdict.begin(script.pace, script.tokens_out)
        return Playback(script, entry, self._ledger, verdict, self.stopping, arrived)

    async def models(self, _: Request) -> Response:
        """List the models by name; a call may name any other, and is answered all the same."""
        data = [
            {"id": name, "object": "model", "created": self._started_at, "owned_by": "aiq"} for name in self._models
        ]
        return _json({"object": "list", "data": data})

    async def list_faults(self, _: Request) -> Response:
        """List the faults still to come."""
        return _json({"pending": self._faults.pending()})

    async def add_faults(self, request: Request) -> Response:
        """Append a JSON array of faults, all or none."""
        try:
            faults = msgspec.json.decode(await _body(request), type=list[Fault], strict=False)
            self._faults.add(*faults)
        except (msgspec.DecodeError, ValueError) as error:
            raise BadRequest(f"These are no faults: {error}") from error
        return await self.list_faults(request)

    async def clear_faults(self, request: Request) -> Response:
        """Forget the faults still to come."""
        self._faults.clear()
        return await self.list_faults(request)

    async def read_limits(self, _: Request) -> Response:
        """Say which limits hold, how their buckets stand, and what became of all calls."""
        return _json(
            {
                "at_ms": time.time_ns() // 1_000_000,
                "elapsed_ms": self._limiter.elapsed_ms(),
                "limits": self._limiter.limits(),
                "buckets": self._limiter.buckets(),
                "totals": self._ledger.totals(),
            }
        )

    async def set_limits(self, request: Request) -> Response:
        """Put a JSON array of limits in the place of all there were, with full buckets."""
        try:
            self._limiter.set(msgspec.json.decode(await _body(request), type=list[RateLimit]))
        except (msgspec.DecodeError, ValueError) as error:
            raise BadRequest(f"These are no limits: {error}") from error
        return await self.read_limits(request)

    async def read_ledger(self, request: Request) -> Response:
        """Read the entries numbered above `after`, at most `limit`; an entry still running changes later."""
        after = _count(request, "after", 0)
        limit = min(_count(request, "limit", MAX_PAGE), MAX_PAGE)
        return _json({"entries": self._ledger.entries(after=after, limit=limit), "dropped": self._ledger.dropped})


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_REQUEST_BYTES:
            raise BadRequest(f"A request is at most {MAX_REQUEST_BYTES} bytes long.", status=413)
    return bytes(body)


def _count(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(f"`{name}` must be a whole number that is not negative.")
    return int(text)


def _refuse(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, BadRequest) else 500
    return Response(error_body(str(error), "invalid_request_error"), status, media_type="application/json")


def _reject(rejection: Rejection, entry: Entry) -> Response:
    answer = Response(rejection.body, 429, media_type="application/json")
    answer.raw_headers += [(b"x-request-id", entry.id.encode()), *rejection.headers]
    return answer


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
