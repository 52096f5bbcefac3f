"""A question to the person at the terminal."""

import asyncio
import os
import sys
import threading


async def ask_person(question: str) -> bool | None:
    """Ask until the answer is yes or no; None if there is nobody: standard input has ended.

    It can be cancelled while it waits, because it reads in a thread that nobody waits for. `input` would not do: what
    it locks keeps Python from ending.
    """
    while True:
        sys.stderr.write(f"{question} [y/n] ")
        sys.stderr.flush()
        line = await _line()
        word = line.strip().lower()
        if not line:
            return None
        if word in ("y", "yes", "n", "no"):
            return word.startswith("y")


async def _line() -> str:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def tell(line: bytes) -> None:
        if not answer.done():
            answer.set_result(line)

    def read() -> None:
        line = b""
        while not line.endswith(b"\n") and (byte := os.read(0, 1)):
            line += byte
        loop.call_soon_threadsafe(tell, line)

    threading.Thread(target=read, name="asking", daemon=True).start()
    return (await answer).decode(errors="replace")
