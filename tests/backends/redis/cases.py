"""Cases for the rules in Lua, which are compared with those in Python: many of them in one script."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from aiq import bounds
from tests.backends.redis.lua import run

MANY: Final = settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""Each example is a list of cases, which one script goes through. None is shrunk, which takes minutes."""
TOP: Final = bounds.MAX_LEVEL
NOW: Final = 1_800_000_000_000
_Case = TypeVar("_Case")


def many(cases: st.SearchStrategy[_Case], least: int = 1) -> st.SearchStrategy[list[_Case]]:
    return st.lists(cases, min_size=least, max_size=60)


def maybe(values: st.SearchStrategy[_Case]) -> st.SearchStrategy[_Case | None]:
    return st.none() | values


def near(*values: int, low: int = -TOP, high: int = TOP) -> st.SearchStrategy[int]:
    """Numbers anywhere from low to high, and often within three of one of the values."""
    close = sorted({value + step for value in (*values, low, high) for step in range(-3, 4)})
    return st.sampled_from([value for value in close if low <= value <= high]) | st.integers(low, high)


def compare(
    body: str, cases: Sequence[Any], expected: Sequence[Any], read: Callable[[Any], Any] = lambda answer: answer[0]
) -> None:
    found = [read(answer) for answer in run(body, cases, now_ms=NOW)]
    for case, right, said in zip(cases, expected, found, strict=True):
        assert said == right, case


def given_(**fields: Any) -> dict[str, Any]:
    """A case without what is nothing, as Lua has it."""
    return {name: value for name, value in fields.items() if value is not None}


def first(answer: list[Any]) -> Any:
    """What a body returned, if it was anything."""
    return answer[0] if answer else None
