"""What tokens cost. Spec: USAGE-5 to USAGE-9"""

from collections.abc import Iterable, Mapping

from aiq.model import PriceRow


def check_price(row: PriceRow) -> None: raise NotImplementedError
def in_force(rows: Iterable[PriceRow], now_ms: int) -> Mapping[str, int]: raise NotImplementedError
def cost(tokens: Mapping[str, int], prices: Mapping[str, int]) -> tuple[int, int]:
    """Micro-dollars, rounded up once, and the tokens among them that have no price of their own."""
    raise NotImplementedError
