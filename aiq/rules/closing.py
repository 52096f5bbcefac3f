"""What becomes of reservations: reports, the end of a run, a lost lease, and a provider's 429.

Functions over `Books`, within one atomic step. Spec: chapters 10, 11 and 13
"""

from aiq.errors import LeaseLost
from aiq.model import JobRecord, Outcome, Report, Reported, Throttle
from aiq.rules.books import Books


def report(books: Books, record: JobRecord | None, told: Report, *, current: bool) -> Reported | LeaseLost:
    """Count what a call has used so far, or in the end, and close it when the report says so. A repeat changes nothing.

    `current` says that the lease of the report owns the job (expired or not); `record` is None when the job is
    not stored any more. Without `current` only a call that was reserved is corrected, and the answer is `late`; else
    it is LeaseLost. When a settled report with use is answered and `current`, the store sets the record's
    `deferred_at_ms` to None. Spec: CALL-9 to CALL-14, USAGE-1 to USAGE-6, EST-3
    """
    raise NotImplementedError


def close_run(books: Books, record: JobRecord, outcome: Outcome) -> None:
    """Close what a run has open, and take its calls out of line. `record` still runs: before the move. CALL-12"""
    raise NotImplementedError


def revoke_run(books: Books, record: JobRecord) -> None:
    """Charge all that a run has open, and take its calls out of line. `record` still runs: before the move.

    For an expired lease, a forced cancel, and the end of a cancel's grace. CALL-13, BUDGET-4
    """
    raise NotImplementedError


def throttle(books: Books, throttle: Throttle) -> None:
    """Pause a limit after a 429; a name that is not stored is left out. LIMIT-10, LIMIT-11"""
    raise NotImplementedError
