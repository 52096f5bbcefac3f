"""What a call takes of a limit. Spec: chapter 10."""

from collections.abc import Iterable, Mapping, Sequence

from aiq.model import LimitSpec, Need, Part, Usage


def part(spec: LimitSpec, key: str, need: Need) -> Part: raise NotImplementedError
def counted(spec: LimitSpec, used: Iterable[Usage]) -> int: raise NotImplementedError
def weighted(tokens: Mapping[str, int], weights: Mapping[str, int]) -> int: raise NotImplementedError
def cost_limit(specs: Sequence[LimitSpec]) -> str | None: raise NotImplementedError
def cost(parts: Iterable[Part], cost_limit: str | None) -> int: raise NotImplementedError
