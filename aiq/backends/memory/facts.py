"""What the reference stands on."""

from aiq.backends.memory.transition import Transaction
from aiq.model import Fact, Level
from aiq.rules.facts import clock_fact, moving_fact


def facts(tx: Transaction) -> list[Fact]:
    """Say what everybody should know who stores jobs here. Spec: FACT-1, FACT-3"""
    newest_ms = max((events[-1].at_ms for events in tx.tables.events.values() if events), default=tx.now_ms)
    durability = Fact(
        "durability",
        Level.WARN,
        "Jobs are held in the memory of this process, and are gone with it.",
        "Open sqlite:///jobs.db, or another durable storage, for jobs that matter.",
    )
    moving = moving_fact(tx.tables.moved_to, tx.tables.loading, "let go of it")
    return [durability, clock_fact(newest_ms, tx.now_ms), moving]
