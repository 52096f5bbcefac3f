"""Whether a shorter way is worth trying: where it could not make the last steps, most often it cannot make the next."""

from typing import Final

_MOST_REFUSALS: Final = 5


class Habit:
    """After one refusal it is tried again at once, after the second one step is left out, then three, seven, fifteen.

    What is not plain stays so for long: a queue with a limit, a database that is to isolate its transactions more.
    A step is asked for in one thread and made in another: what is learned in between may be forgotten, which costs a
    step that is made another way, and no more.
    """

    def __init__(self) -> None:
        self._refusals = 0
        self._rest = 0

    def is_worth_asking(self) -> bool:
        """Ask this before each step."""
        rest = self._rest
        if rest > 0:
            self._rest = rest - 1
        return rest <= 0

    def learn(self, *, made: bool) -> None:
        """Say what came of it."""
        refusals = 0 if made else min(self._refusals + 1, _MOST_REFUSALS)
        self._rest = (1 << refusals >> 1) - 1 if refusals else 0
        self._refusals = refusals
