"""The provider simulator, as a process that ends with whoever started it."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiq.testing.provider import Entry, Outcome, Provider, RateLimit
from examples.digesting.tether import when_input_ends

FIRST_TOKEN_S: Final = 0.3
LINGER_S: Final = 5.0
TOKEN_S: Final = 0.008
"""About 125 tokens a second, as a fast model streams them."""
LIMITS: Final = (RateLimit(requests=60, burst=5), RateLimit(tokens=150_000, burst=60))
"""What may be asked in a minute, and how many seconds' worth of that at once: few requests, so that one has to wait,
and tokens enough for the longest of documents. `tasks.PROVIDER` mirrors it."""


def main() -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m examples.digesting.simulator")
    parser.add_argument("--ledger", type=Path, required=True)
    asyncio.run(_serve(parser.parse_args().ledger))
    return 0


async def _serve(ledger: Path) -> None:
    stopped = asyncio.Event()
    provider = Provider(latency_first_token=FIRST_TOKEN_S, latency_per_token=TOKEN_S, limits=LIMITS, ledger_file=ledger)
    async with provider:
        when_input_ends(stopped.set)
        sys.stdout.write(json.dumps({"base_url": provider.base_url}) + "\n")
        sys.stdout.flush()
        await stopped.wait()
        # Whoever started us started the worker too, and that one is just ending: to lose its provider now would cost
        # its jobs an attempt, to be given back costs them nothing.
        with suppress(TimeoutError):
            await provider.ledger.until(_is_quiet, timeout=LINGER_S)


def _is_quiet(calls: Sequence[Entry]) -> bool:
    return all(call.outcome is not Outcome.RUNNING for call in calls)


if __name__ == "__main__":
    sys.exit(main())
