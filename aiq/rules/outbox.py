"""What a row of the outbox says, and the key of the wait that every job has: a move takes both from store to store.

Spec: chapter 5
"""

from enum import StrEnum
from typing import Final

DEPENDENCIES: Final = ""
"""The key of the wait on dependencies, before a first run."""


class Kind(StrEnum):
    """What is to be done for a row of the outbox."""

    FLIP = "flip"
    """Flip the rest of the edges that lead out of an ended job."""
    DIE = "die"
    """End a job that waits for a dependency which ended badly."""
    CANCEL_REST = "cancel_rest"
    """Cancel the children of a wait that is over without them."""
    CANCEL_CHILDREN = "cancel_children"
    """Cancel the children of a job that ended badly."""
    REDRIVE = "redrive"
    """Redrive the children for which a job waits again."""
