"""What a run that failed leaves to be read: its error, and if it kills its job also the input. Spec: DEAD-6, RETRY-12

What looks like a secret is gone from both before; a user's own `redact` may take more. What it fails at is not shown.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from aiq.model import Deferred, Died, JobError, JobRecord, Outcome, Retried
from aiq.rules.redaction import HIDDEN, sample_of

Redact: TypeAlias = Callable[[str], str]

_log = logging.getLogger("aiq.worker")


def shown(outcome: Outcome | None, record: JobRecord, redact: Redact | None) -> Outcome | None:
    """The outcome as it may be stored, with a sample of the input if the job dies by it."""
    if not isinstance(outcome, Died | Retried | Deferred):
        return outcome
    if redact is not None:
        outcome = replace(outcome, error=_error(outcome.error, redact))
    if isinstance(outcome, Died) or (isinstance(outcome, Retried) and record.attempt >= record.max_attempts):
        return replace(outcome, sample=_sample(record, redact))
    return outcome


def _error(error: JobError, redact: Redact) -> JobError:
    """An error without what the user's own redaction takes out. The group in which it stands is known before: another
    version of `redact` is no reason for another group."""
    return replace(
        error,
        message=_redacted(error.message, redact),
        traceback=_redacted(error.traceback, redact),
        code=_redacted(error.code, redact),
        pattern=_redacted(error.pattern, redact),
    )


def _sample(record: JobRecord, redact: Redact | None) -> str | None:
    sample = sample_of(record.payload)
    if redact is None:
        return sample
    redacted = _redacted(sample, redact)
    return None if redacted == HIDDEN else redacted


def _redacted(text: str, redact: Redact) -> str:
    try:
        return str(redact(text)) if text else text
    except Exception as error:  # noqa: BLE001 - it is the user's, and a failure must be recordable whatever it does
        _log.warning("`redact` raised %s, so nothing is kept of a text that it was to redact.", type(error).__name__)
        return HIDDEN
