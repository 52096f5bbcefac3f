"""Storing prices."""

from collections.abc import Sequence

from aiq.backends.memory.transition import Transaction
from aiq.bounds import MAX_BATCH
from aiq.model import HeldFor, PriceRow
from aiq.rules.checks import check_count
from aiq.rules.prices import check_price


def put_prices(tx: Transaction, prices: Sequence[PriceRow], *, absent_only: bool) -> None:
    """Store rows by model, category and instant, and let jobs go that are held for a price. Spec: USAGE-7, HOLD-8"""
    check_count("list of prices", len(prices), MAX_BATCH)
    for row in prices:
        check_price(row)
    stored = tx.tables.accounts.prices
    left_alone = set(stored) if absent_only else set()
    for row in prices:
        if row.model not in left_alone:
            stored[row.model][row.category, row.from_ms] = row
            tx.rooms.setdefault((HeldFor.PRICE, row.model), False)
