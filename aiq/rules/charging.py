"""What a call takes of a limit when it begins, and what of its use counts when it ends. Spec: chapter 10.

Source: what providers publish of their own buckets: some take the input as it arrives and count output as it is
produced, some take input and the most output together, some the larger of both, and some never count output. A
ledger that takes something else than its provider drifts from it, and no refill brings the two together again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, assert_never

from aiq.bounds import MAX_LEVEL
from aiq.model import INPUT, OUTPUT, PRODUCED, Charge, LimitSpec, Need, Part, Usage
from aiq.rules.buckets import scale


def part(spec: LimitSpec, key: str, need: Need) -> Part:
    """What a call takes of one limit. The caller sets `slot`, which depends on what the run holds already.

    What was not declared counts at most as much as fits, so that a guess never keeps a job from running.
    Spec: CALL-1, CALL-17
    """
    if spec.tokens is None:
        return Part(limit=spec.name, key=key, requests=1)
    charge, rest = _charge(spec, need)
    if not need.declared:
        charge = min(charge, most_at_once(spec, spec.tokens))
    # A hold must stay a number that every store keeps; this binds only where a sub-unit is absurdly small.
    bound = MAX_LEVEL // 4 // scale(spec.tokens, spec.per_ms, spec.burst_ms).sub
    return Part(limit=spec.name, key=key, requests=1, charge=charge, rest=min(rest, bound))


def most_at_once(spec: LimitSpec, tokens: int) -> int:
    """The most whole tokens that one call may take at once: the capacity, or one period's, if that is more."""
    return max(scale(tokens, spec.per_ms, spec.burst_ms).whole, tokens)


def counted(spec: LimitSpec, used: Sequence[Usage]) -> int:
    """The weighted tokens of a call that count when it is settled on a limit."""
    tokens = total_of(used)
    if spec.charge is Charge.INPUT:
        return weighted({name: count for name, count in tokens.items() if name not in PRODUCED}, spec.weights)
    return weighted(tokens, spec.weights)


def total_of(used: Sequence[Usage]) -> Mapping[str, int]:
    """The tokens of all models together, by category."""
    if len(used) == 1:
        return used[0].tokens
    tokens: Counter[str] = Counter()
    for usage in used:
        tokens.update(usage.tokens)
    return tokens


def weighted(tokens: Mapping[str, int], weights: Mapping[str, int]) -> int:
    """The sum of tokens by their weights per mille (1000 where none is set), rounded down for each category."""
    if not weights:
        return sum([count for count in tokens.values() if count > 0])
    return sum([count * weights.get(name, 1000) // 1000 for name, count in tokens.items() if count > 0])


JOB: Final = 1000
"""What a job counts for where no limit counts its tokens: so much that a tenant's weight can divide it."""


def cost_limit(specs: Sequence[LimitSpec]) -> str | None:
    """The limit on which the cost of a job is counted: the first by name that has tokens and no `by`."""
    return min((spec.name for spec in specs if spec.tokens is not None and spec.by is None), default=None)


def cost(parts: Iterable[Part], cost_limit: str | None) -> int:
    """What a job counts for in the order of a claim: charge and held of its cost limit, at least 1; JOB without one."""
    if cost_limit is None:
        return JOB
    found = (part.charge + part.rest for part in parts if part.limit == cost_limit)
    return max(1, next(found, 1))


def _charge(spec: LimitSpec, need: Need) -> tuple[int, int]:
    taken = _weighed(need.input, spec.weights, INPUT)
    most = _weighed(need.max_output, spec.weights, OUTPUT)
    match spec.charge:
        case Charge.STREAM:
            return taken, min(_weighed(need.output, spec.weights, OUTPUT), most)
        case Charge.RESERVE:
            return taken + most, 0
        case Charge.MAX:
            return max(taken, most), 0
        case Charge.INPUT:
            return taken, 0
        case _:
            assert_never(spec.charge)


def _weighed(count: int, weights: Mapping[str, int], category: str) -> int:
    return count * weights.get(category, 1000) // 1000
