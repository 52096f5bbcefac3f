"""Flows that one step cannot hold: stored in several, behind a job that opens them when all is there.

That job, the opener, is an ordinary one of a task that every worker knows. So a store needs nothing for it: the jobs of
the flow wait for it as for any dependency, and it does not run before it is due. Spec: FLOW-17, FLOW-18
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from aiq.bounds import STAGE_KEPT_MS
from aiq.model import Cause, Content, Edit, JobError, JobSpec
from aiq.rules.batches import batches
from aiq.rules.ids import opener_id

OPENER: Final = "aiq.open"
"""The task of the opener."""
SHUT: Final = b'{"v":1,"a":[false],"k":{}}'
"""Its arguments until the last job of the flow is stored."""
OPEN: Final = b'{"v":1,"a":[true],"k":{}}'


def is_held_by_one_step(specs: Sequence[JobSpec]) -> bool:
    """Whether jobs can be stored in one step."""
    return sum(1 for _ in batches(specs)) <= 1


def staged(flow_id: str, specs: Sequence[JobSpec]) -> list[JobSpec]:
    """The jobs of a flow behind their opener, which stands among them as the first one does. Spec: FLOW-17"""
    first = specs[0]
    opener = JobSpec(
        id=opener_id(flow_id),
        task=OPENER,
        queue=first.queue,
        payload=SHUT,
        digest=hashlib.sha256("\0".join(f"{spec.id} {spec.digest}" for spec in specs).encode()).hexdigest(),
        band=first.band,
        delay_ms=STAGE_KEPT_MS,
        flow=flow_id,
        tenant=first.tenant,
        keep_ms=first.keep_ms,
    )
    behind = (opener.id,)
    return [opener, *(spec if spec.depends_on else replace(spec, depends_on=behind) for spec in specs)]


def opening(job_id: str) -> Edit:
    """What lets the opener of a flow run, once all of that is stored. Spec: FLOW-18"""
    return Edit(job_id=job_id, delay_ms=0, content=Content(task=OPENER, payload=OPEN))


def abandoned(flow_id: str | None) -> JobError:
    """Of what the opener of a flow dies that was never opened."""
    return JobError(
        type="FlowAbandoned",
        message=f"Flow {flow_id} was not stored whole within an hour, and is cancelled. Run it again under another id.",
        cause=Cause.HANDLER,
        pattern="A flow was not stored whole within an hour.",
    )
