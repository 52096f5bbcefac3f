"""What a namespace in Redis may leave behind: keys that some script knows, and whose job is still stored."""

import re
from functools import cache

from aiq.backends.redis import scripts
from tests.servers import Server

OF_A_JOB = frozenset(
    {
        "children",
        "edges_out",
        "history",
        "kept_signals",
        "living",
        "needed_by",
        "signal_order",
        "signal_payloads",
        "signals",
        "step_order",
        "step_values",
        "steps",
        "stream",
        "waits",
    }
)
"""Kinds of keys that name a job behind their colon, and go with it."""


def clean(server: Server, namespace: str) -> list[str]:
    """Remove a namespace; what is answered are the keys that nobody would ever have removed."""
    prefix = f"{{aiq:{namespace}}}:"
    names = server.ask("KEYS", f"{prefix}*")
    if not names:
        return []
    jobs = {_whole(name) for name in server.ask("HKEYS", f"{prefix}jobs")}
    server.ask("UNLINK", *names)
    return [name for name in names if is_left(*name.removeprefix(prefix).partition(":")[::2], jobs)]


def _whole(brief: str) -> str:
    """An id as lua/_briefs.lua keeps it."""
    kept = brief.encode(errors="surrogateescape")
    return kept[1:].hex() if kept.startswith(b"\xff") else brief


def is_left(kind: str, owner: str, jobs: set[str]) -> bool:
    """Whether no script knows such a key, or its job is gone."""
    return kind not in kinds() or (kind in OF_A_JOB and owner not in jobs)


@cache
def kinds() -> frozenset[str]:
    """The words that scripts may make keys of."""
    return frozenset(word for text in scripts._files().values() for word in re.findall(r"'([a-z_]+):?'", text))
