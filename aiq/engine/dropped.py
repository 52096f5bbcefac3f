"""What a handler comes to although its run has left its worker for a wait. It counts for nothing, and is told."""

import asyncio
import logging

from aiq.context import Parked
from aiq.engine.run import Run
from aiq.errors import LeaseLost
from aiq.model import Died, Outcome, Retried, Succeeded
from aiq.rules.retry import leaves

_log = logging.getLogger("aiq.worker")


def tell(run: Run, outcome: Outcome) -> None:
    """Warn of an outcome that cannot be settled any more. Of an error its class, never its text."""
    match outcome:
        case Succeeded():
            _warn(run, "returned a value")
        case Retried(error) | Died(error):
            _warn(run, f"ended with {error.type}")
        case _:
            pass  # nothing that a handler has said


def tell_raised(run: Run, error: BaseException) -> None:
    """Warn of what was raised, unless it is only what unwinds a handler whose run has parked."""
    for leaf in leaves(error):
        own = isinstance(leaf, LeaseLost) and leaf.job_id == run.lease.job_id
        if not own and not isinstance(leaf, Parked | asyncio.CancelledError):
            _warn(run, f"raised {type(leaf).__name__}")


def _warn(run: Run, what: str) -> None:
    _log.warning(
        "The handler %s after its run had left the worker for a wait. That is dropped, and the handler runs again "
        "from the top when the wait is over. Limit a wait by its own timeout=, not by asyncio.timeout; let what "
        "unwinds the handler pass; and catch in its own branch what a branch beside a wait may raise.",
        what,
        extra=run.extra,
    )
