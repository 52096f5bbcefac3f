"""On what a benchmark ran: figures without it mean nothing."""

import os
import platform
import re
import sqlite3
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from benchmarks.private import store_of
from benchmarks.stores import ask_postgres, ask_redis

ROOT = Path(__file__).parents[1]


def machine() -> dict[str, str]:
    """The processor and its cores, the system, Python, the release measured, and what else the machine did before."""
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": f"{os.cpu_count()} × {_processor()}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "aiq": _commit(),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def version_of(url: str) -> str:
    """The store and its version."""
    match store_of(url):
        case "redis":
            return f"Redis {ask_redis(url, 'INFO')['redis_version']}"
        case "postgres":
            return str(ask_postgres(url, "SELECT split_part(version(), ' (', 1)"))
        case "sqlite":
            return f"SQLite {sqlite3.sqlite_version}"
        case other:
            return other


def promised_by(url: str) -> str:
    """What survives a crash, as the server or the address has it."""
    options = dict(parse_qsl(urlsplit(url).query))
    match store_of(url):
        case "redis":
            told = {name: _redis_setting(url, name) for name in ("appendonly", "appendfsync")}
        case "postgres":
            asked = "SELECT current_setting($1)"
            told = {name: str(ask_postgres(url, asked, name)) for name in ("fsync", "synchronous_commit")}
        case "sqlite":
            told = {"synchronous": "full, the default"}
        case _:
            told = {}
    return ", ".join(f"{name} {value}" for name, value in {**told, **options}.items())


def _redis_setting(url: str, name: str) -> str:
    (value,) = ask_redis(url, "CONFIG", "GET", name).values()
    return str(value.decode())


def _processor() -> str:
    try:
        told = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        told = None
    return told[1] if told else platform.processor() or platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
