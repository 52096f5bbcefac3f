"""When a wait on other jobs is over, and how. Spec: chapter 5."""

from collections.abc import Sequence
from dataclasses import replace

from aiq.model import Step, StepKind, Wait


def verdict(wait: Wait) -> StepKind | None:
    """How a wait is over, or None while it is not.

    With `need` set it is over when that many have succeeded, or as soon as they no longer can: more than
    total - need have ended badly. Without, it is over when all have ended. Spec: FLOW-9.
    """
    if wait.need is not None:
        if wait.succeeded >= wait.need:
            return StepKind.CHILDREN
        if wait.failed > wait.total - wait.need:
            return StepKind.CHILD_FAILED
    return StepKind.CHILDREN if wait.pending == 0 else None


def counted(wait: Wait, upstream_id: str, *, succeeded: bool) -> Wait:
    """A wait of which one more job has ended."""
    if succeeded:
        return replace(wait, succeeded=wait.succeeded + 1)
    return replace(wait, failed=wait.failed + 1, first_failed=wait.first_failed or upstream_id)


def remembered(wait: Wait, kind: StepKind, winners: Sequence[str], fence: int) -> Step:
    """The step under which a wait that is over is kept. `winners` are ids in the order they succeeded.

    All winners are named only where fewer than all were needed: otherwise the children are known, and a
    wait on ten thousand must not write ten thousand names. Spec: FLOW-12.
    """
    if kind is StepKind.CHILD_FAILED:
        return Step(wait.key, kind, (wait.first_failed or "").encode(), fence=fence)
    chosen = winners[: wait.need] if wait.need is not None and wait.need < wait.total else ()
    return Step(wait.key, kind, "\n".join(chosen).encode(), fence=fence)
