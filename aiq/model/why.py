"""Why a job does not run yet."""

from dataclasses import dataclass
from enum import StrEnum


class Gate(StrEnum):
    """The one thing that a job waits for."""

    NOTHING = "nothing"
    """It runs, or has ended."""
    TIME = "time"
    DEPENDENCY = "dependency"
    CHILDREN = "children"
    SIGNAL = "signal"
    PAUSE = "pause"
    OPERATOR = "operator"
    """Somebody holds it."""
    BUDGET = "budget"
    QUOTA = "quota"
    """Every route of it is closed."""
    PRICE = "price"
    """A budget in money binds it, and its model has no price."""
    SIZE = "size"
    """It needs more than a limit can ever give."""
    LIMIT = "limit"
    KEY = "key"
    TENANT = "tenant"
    """Its tenant's own limit, or its tenant's share."""
    BAND = "band"
    """More urgent jobs are ready."""
    TURN = "turn"
    """Jobs before it in its line."""
    CALL = "call"
    """It runs, and a call inside it waits for a limit."""
    WORKER = "worker"
    """It is next; no worker has asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The gate, what stands there (a limit, a budget, a signal, a job …), a sentence with the figures, and how long
    until it may open at the earliest, None where nobody knows."""

    gate: Gate
    name: str = ""
    text: str = ""
    opens_in_ms: int | None = None

    @property
    def opens_in(self) -> float | None:
        """How long until it may open, in seconds."""
        return None if self.opens_in_ms is None else self.opens_in_ms / 1000
