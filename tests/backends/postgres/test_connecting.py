"""What a connection is given when it is made."""

from types import SimpleNamespace
from typing import Any

import pytest

from aiq.backends.postgres import line
from aiq.backends.postgres.address import parse

PART_S = 0.4


class Slow:
    """A server that takes its time with each part, and answers none of them at last."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.now_s = 100.0
        self.given_s: list[float] = []
        self.is_open = False

    async def connect(self, _dsn: str, *, timeout: float, **_settings: object) -> "Slow":
        self._take(timeout)
        self.is_open = True
        return self

    async def execute(self, _text: str, *, timeout: float) -> str:
        self._take(timeout)
        return "SELECT 1"

    def get_server_pid(self) -> int:
        return 1

    def terminate(self) -> None:
        self.is_open = False

    def _take(self, timeout_s: float) -> None:
        self.given_s.append(round(timeout_s, 3))
        self.now_s += PART_S
        if len(self.given_s) > self.answers:
            raise TimeoutError


def made(answers: int, monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow = Slow(answers)
    monkeypatch.setattr(line.asyncpg, "connect", slow.connect)
    monkeypatch.setattr(line, "time", SimpleNamespace(monotonic=lambda: slow.now_s))
    return slow


async def connected() -> Any:
    address = parse("postgresql://far/jobs")
    return await line.connect(address, address.dsn, 1.0)


async def test_all_that_belongs_to_a_connection_has_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = made(3, monkeypatch)

    assert await connected() is slow

    assert slow.given_s == [1.0, 0.6, 0.2]


@pytest.mark.parametrize("answers", [1, 2])
async def test_one_that_is_not_made_in_time_is_let_go(answers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = made(answers, monkeypatch)

    with pytest.raises(TimeoutError):
        await connected()

    assert not slow.is_open
