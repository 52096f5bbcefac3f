"""Messages to a job, as users declare them."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from aiq.policy.figures import check_name

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Signal(Generic[T]):
    """A typed message that a job may wait for, known by its name.

        APPROVAL = aiq.Signal("approval", bool)

        approved = await ctx.wait_for(APPROVAL, timeout=3600)   # in the handler; parks the job
        await job.send(APPROVAL, True)                          # from anywhere

    A message that comes early is kept for the wait. `type` is a class that payloads may have: a builtin, an
    Enum, a dataclass, a msgspec Struct or a pydantic model.

    Raises:
        InvalidName: the name is outside the alphabet.
    """

    name: str
    type: type[T]

    def __post_init__(self) -> None:
        check_name("signal", self.name)
