"""The provider simulator, as a process that ends with whoever started it."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from aiq.testing.provider import Provider
from examples.digesting.tether import when_input_ends

FIRST_TOKEN_S: Final = 0.3
TOKEN_S: Final = 0.014
"""About seventy tokens a second, as a fast model streams them."""


def main() -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m examples.digesting.simulator")
    parser.add_argument("--ledger", type=Path, required=True)
    asyncio.run(_serve(parser.parse_args().ledger))
    return 0


async def _serve(ledger: Path) -> None:
    stopped = asyncio.Event()
    provider = Provider(latency_first_token=FIRST_TOKEN_S, latency_per_token=TOKEN_S, ledger_file=ledger)
    async with provider:
        when_input_ends(stopped.set)
        sys.stdout.write(json.dumps({"base_url": provider.base_url}) + "\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
