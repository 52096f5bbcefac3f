"""What is stored of the dead: their groups, and what became of those that have another generation. Spec: chapter 16"""

from collections import defaultdict
from dataclasses import dataclass, field

from aiq.model import DeadGroup


@dataclass(slots=True)
class Death:
    """A job that is dead. `tokens` and `usd_micros` are what its group counts of it."""

    fingerprint: str
    died_at_ms: int
    tokens: int = 0
    usd_micros: int = 0
    sample: str | None = None


@dataclass(slots=True)
class Following:
    """A job that has another generation: by which redrive, of which group it is until it has ended, and what groups
    count already of what it has used."""

    redrive_id: str
    fingerprint: str | None = None
    tokens: int = 0
    usd_micros: int = 0


@dataclass(slots=True)
class Graves:
    """The dead-letter view."""

    groups: dict[str, DeadGroup] = field(default_factory=dict)
    deaths: dict[str, Death] = field(default_factory=dict)
    """By job."""
    members: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    """The jobs of a group, in the order in which they died."""
    following: dict[str, Following] = field(default_factory=dict)
    """By job."""

    def samples(self, fingerprint: str) -> list[str]:
        """The jobs of a group of which a sample is kept."""
        return [job_id for job_id in self.members.get(fingerprint, ()) if self.deaths[job_id].sample is not None]
