"""Running the command as users do, and putting into a storage what it is to find there."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pytest

from aiq.backends import open_storage
from aiq.cli import main
from aiq.storage import Storage

T = TypeVar("T")
Done: TypeAlias = subprocess.CompletedProcess[str]

ROOT = Path(__file__).parents[2]


def environment(url: str | None) -> dict[str, str]:
    """Of a process that finds this checkout, and no storage but the one that is named."""
    kept = {name: text for name, text in os.environ.items() if name != "AIQ_URL"}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"} | ({"AIQ_URL": url} if url else {})


def aiq(*words: str, url: str | None = None, folder: Path | None = None, **variables: str) -> Done:
    """Run `aiq WORD…` as a process to its end."""
    command = [sys.executable, "-m", "aiq", *words]
    settings = environment(url) | variables
    return subprocess.run(
        command, env=settings, cwd=folder, capture_output=True, encoding="utf-8", timeout=60, check=False
    )


def facts(text: str) -> list[dict[str, Any]]:
    """JSON lines, read back."""
    return [json.loads(line) for line in text.splitlines()]


def within(url: str, deed: Callable[[Storage], Awaitable[T]]) -> T:
    """Do something with the storage at an address, from outside of any loop."""

    async def do() -> T:
        storage = await open_storage(url)
        try:
            return await deed(storage)
        finally:
            await storage.close()

    return asyncio.run(do())


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run `aiq WORD…` in this process: its status, stdout and stderr. For what needs no process of its own."""
    capsys.readouterr()
    status = main(words)
    told = capsys.readouterr()
    return status, told.out, told.err
