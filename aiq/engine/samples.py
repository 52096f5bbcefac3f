"""What a run that kills its job leaves of its input, for whoever looks at the dead. Spec: DEAD-6"""

import logging
from collections.abc import Callable
from dataclasses import replace

from aiq.model import Died, JobRecord, Outcome, Retried
from aiq.rules.redaction import sample_of

_log = logging.getLogger("aiq.worker")


def sampled(outcome: Outcome | None, record: JobRecord, redact: Callable[[str], str] | None) -> Outcome | None:
    """The outcome, with a sample if the job dies by it. `redact` is the user's own: what it fails at is not shown."""
    if isinstance(outcome, Died) or (isinstance(outcome, Retried) and record.attempt >= record.max_attempts):
        return replace(outcome, sample=_sample(record, redact))
    return outcome


def _sample(record: JobRecord, redact: Callable[[str], str] | None) -> str | None:
    sample = sample_of(record.payload)
    if redact is None:
        return sample
    try:
        return str(redact(sample))
    except Exception as error:  # noqa: BLE001 - it is the user's, and a failure must be recordable whatever it does
        _log.warning("`redact` raised %s, so no sample of the input is kept.", type(error).__name__)
        return None
