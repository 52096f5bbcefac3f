"""Remembering a value by one function of the schema, see migrations/0004_plain/4_save_step.sql."""

from collections.abc import Callable
from dataclasses import replace

from aiq.backends.postgres.atomic import Home, alone, call
from aiq.backends.postgres.line import Line
from aiq.bounds import MAX_STEPS
from aiq.model import Lease, Saved, Step


def save_step(home: Home, line: Line, unwanted: Callable[[], bool], lease: Lease, step: Step) -> Saved | None:
    """Keep a value under a key that is free, or answer nothing. Spec: STEP-1"""
    run = (lease.job_id, lease.fence, lease.lease_id, MAX_STEPS)
    given = (*run, step.key, step.kind, step.value, step.digest)
    cancelled, late = call(home, line, unwanted, "aiq_save_step_4", (*alone(home), *given))
    if late is None:
        return None
    return Saved(replace(step, fence=lease.fence), existed=False, cancel_requested=cancelled, late=late)
