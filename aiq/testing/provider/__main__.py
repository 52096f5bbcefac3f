"""The simulator as a process: prints its address as one line of JSON, and serves until SIGTERM or SIGINT."""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from aiq.testing.provider.server import Provider


def main() -> int:
    """Serve until told to stop; exit 0 then, and 1 if it cannot start."""
    options = _parser().parse_args()
    try:
        asyncio.run(_serve(options))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"The provider simulator cannot run: {error}\n")
        return 1
    return 0


async def _serve(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    provider = Provider(
        latency_first_token=options.latency_first_token,
        latency_per_token=options.latency_per_token,
        ledger_file=options.ledger,
        port=options.port,
    )
    async with provider:
        ready = {"base_url": provider.base_url, "control_url": f"{provider.url}/control", "pid": os.getpid()}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stopped.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aiq.testing.provider",
        description="An OpenAI-compatible provider on 127.0.0.1 that answers from the prompt and costs nothing.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one; see the line printed")
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="append each call to FILE as it starts and ends")
    parser.add_argument("--latency-first-token", type=float, default=0.005, metavar="SECONDS", help="default: 0.005")
    parser.add_argument("--latency-per-token", type=float, default=0.001, metavar="SECONDS", help="default: 0.001")
    return parser


if __name__ == "__main__":
    sys.exit(main())
