"""What a script refuses, as an error of ours."""

from typing import Any

from aiq import errors


def refusal(name: str, detail: Any) -> Exception:  # Any: what the class of the error takes
    """The error of a class: `detail` is the list of what it is made of, or a map of that by name."""
    kind = getattr(errors, name)
    if kind is errors.LeaseLost:
        job_id, reason = detail
        return errors.LeaseLost(job_id, errors.LostReason(reason))
    made: Exception = kind(**detail) if isinstance(detail, dict) else kind(*(detail or ()))
    return made
