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
    lost = astray(server, prefix, names)
    server.ask("UNLINK", *names)
    return [name for name in names if is_left(*name.removeprefix(prefix).partition(":")[::2], jobs)] + lost


def astray(server: Server, prefix: str, names: list[str]) -> list[str]:
    """Shelves of lanes that no index knows, and those that one knows and that are not there."""
    indexes = [name.removeprefix(f"{prefix}shelves:") for name in names if name.startswith(f"{prefix}shelves:")]
    listed = {
        f"{prefix}shelf:{lane}:{shelf}"
        for lane in indexes
        for shelf in server.ask("ZRANGE", f"{prefix}shelves:{lane}", 0, -1)
    }
    return sorted(listed ^ {name for name in names if name.startswith(f"{prefix}shelf:")})


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
