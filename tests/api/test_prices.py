"""Default prices from genai-prices: from a module of its shape, and from the package itself."""

import sys
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

import aiq
from aiq.model import PriceRow
from aiq.prices import default_prices
from aiq.testing import Faulty
from tests.api.seen import Seen

PAID: dict[str, Any] = {
    "input_mtok": Decimal("2.5"),
    "cache_read_mtok": Decimal("0.12345678"),
    "output_mtok": SimpleNamespace(base=Decimal(10), tiers=[SimpleNamespace(start=200_000, price=Decimal(15))]),
    "output_audio_mtok": None,
    "web_searches_kcount": Decimal(10),
}


class Package(SimpleNamespace):
    """A module of the shape of genai-prices, which knows one model."""

    class Usage:
        pass

    def calc_price(self, usage: object, model: str) -> object:
        assert isinstance(usage, self.Usage)
        self.asked += 1
        if model == "broken":
            raise ValueError(model)
        if model != "gpt":
            raise LookupError(model)
        return SimpleNamespace(model_price=SimpleNamespace(**self.prices))


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Package:
    package = Package(prices=PAID, asked=0)
    monkeypatch.setitem(sys.modules, "genai_prices", package)
    return package


def told(rows: list[PriceRow]) -> dict[str, int]:
    return {row.category: row.usd_micros_per_million for row in rows}


def test_prices_are_read_in_micro_dollars_and_by_our_categories(package: Package) -> None:
    rows = default_prices("gpt")

    assert {row.model for row in rows} == {"gpt"}
    assert {row.from_ms for row in rows} == {0}
    assert told(rows) == {"input": 2_500_000, "cache_read": 123_457, "output": 10_000_000, "reasoning": 10_000_000}


def test_reasoning_with_a_price_of_its_own_keeps_it(package: Package) -> None:
    package.prices = {"output_mtok": Decimal(1), "output_reasoning_mtok": Decimal(3)}

    assert told(default_prices("gpt")) == {"output": 1_000_000, "reasoning": 3_000_000}


@pytest.mark.parametrize("model", ["unknown", "broken"])
def test_a_model_that_nobody_knows_has_no_prices(package: Package, model: str) -> None:
    assert default_prices(model) == []


def test_without_the_package_no_model_has_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)

    assert default_prices("gpt") == []


def test_the_package_itself_knows_what_models_cost() -> None:
    known = told(default_prices("gpt-4o"))

    assert 0 < known["input"] < known["output"]
    assert default_prices("a model that does not exist") == []


@aiq.task(routes=[aiq.Route("gpt", model="gpt"), aiq.Route("local", model="local")])
async def write(topic: str) -> str:
    return topic


async def test_models_get_their_default_prices_with_the_first_job_that_names_them(
    package: Package, storage: Faulty
) -> None:
    seen = Seen(storage, "put_prices")
    queue = aiq.Queue(seen)  # type: ignore[arg-type]

    await queue.enqueue(write.job("x"))
    await queue.enqueue(write.job("x"), estimate=aiq.Estimate(model="gpt"))

    assert aiq.Price("gpt", "input", "2.50") in await queue.admin.prices("gpt")
    assert await queue.admin.prices("local") == []
    assert seen.calls == ["put_prices"]


async def test_a_model_that_an_operator_has_priced_is_left_alone(package: Package, queue: aiq.Queue) -> None:
    await queue.admin.put_prices([aiq.Price("gpt", "output", 99)])

    await aiq.Worker(queue, tasks=[write]).run_until_idle()
    await queue.enqueue(write.job("x"))

    assert await queue.admin.prices("gpt") == [aiq.Price("gpt", "output", 99)]


@aiq.task(limits=[aiq.Limit("gpt", requests=60)])
async def chat(topic: str) -> str:
    return topic


async def test_a_worker_whose_tasks_take_limits_has_the_table_at_hand_before_its_first_call(
    package: Package, queue: aiq.Queue
) -> None:
    async with aiq.Worker(queue, tasks=[chat]):
        assert package.asked == 1


async def test_a_worker_whose_tasks_take_no_limits_reads_no_table(package: Package, queue: aiq.Queue) -> None:
    @aiq.task
    async def plain() -> None: ...

    async with aiq.Worker(queue, tasks=[plain]):
        assert package.asked == 0
