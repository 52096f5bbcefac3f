"""What was used for several jobs together, shared out among them."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from aiq.model import Usage


def shares(used: Usage, weights: Sequence[int]) -> list[Usage]:
    """Whole tokens in proportion to the weights, evenly if these are all 0; together they are exactly what was used.

    Each share ends where its part of the whole ends, rounded down, so that no remainder is left to be given away.
    """
    parts = list(weights) if any(weights) else [1] * len(weights)
    ends, whole = list(accumulate(parts, initial=0)), sum(parts)
    return [
        Usage.known(
            used.model, {name: count * end // whole - count * start // whole for name, count in used.tokens.items()}
        )
        for start, end in pairwise(ends)
    ]
