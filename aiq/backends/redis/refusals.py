"""What a script refuses, as an error of ours."""

from typing import Any

from aiq import errors
from aiq.backends.redis.fields import LAYOUT


def refusal(name: str, detail: Any) -> Exception:  # Any: what the class of the error takes
    """The error of a class: `detail` is the list of what it is made of, or a map of that by name."""
    kind = getattr(errors, name)
    if kind is errors.LeaseLost:
        job_id, reason = detail
        return errors.LeaseLost(job_id, errors.LostReason(reason))
    if kind is errors.StorageMismatch:
        return _other_layout(*detail)
    made: Exception = kind(**detail) if isinstance(detail, dict) else kind(*(detail or ()))
    return made


def _other_layout(found: object) -> errors.StorageMismatch:
    """The error for a namespace whose layout has another number."""
    return errors.StorageMismatch(
        f"Another version of aiq has laid this namespace out: its layout is number {found}, and this version reads "
        f"number {LAYOUT}. Nothing was changed. That version can `aiq export` it to another server or namespace, where "
        "this one can `aiq import` it."
    )
