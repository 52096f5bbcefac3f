"""What a storage knows of its own surroundings."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a fact should worry whoever operates a storage."""

    OK = "ok"
    WARN = "warn"
    """It works, and something may go wrong, or is slower than need be."""
    FAIL = "fail"
    """Jobs may be lost or stand still; something has to be done."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was looked at: its name, how it is, in a sentence, and what to do next ("" if nothing)."""

    name: str
    level: Level
    text: str
    advice: str = ""
