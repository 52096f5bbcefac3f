"""What a call is expected to need. Spec: EST-1 to EST-3"""

from typing import Final

from aiq.model import Estimate, Need
from aiq.rules.books import Learned

STEPS: Final[tuple[int, ...]] = ()


def taught(learned: Learned, input: int | None, output: int | None) -> Learned: raise NotImplementedError
def need(estimate: Estimate | None, learned: Learned, model: str) -> Need: raise NotImplementedError
def declared(estimate: Estimate | None, model: str) -> Need:
    """Only what somebody said; every other number is 0. CALL-17 refuses a job by this, and by nothing learned."""
    raise NotImplementedError
