"""Forgetting what nobody needs any more, so that nothing of admission grows for ever. Spec: TIME-8

Each kind is looked at from its oldest on. What must be kept for once is looked at again when as much time has passed.
"""

from collections.abc import Iterator
from itertools import islice

from aiq.backends.memory.idle import PoolSpot
from aiq.backends.memory.lanes import LineKey
from aiq.backends.memory.transition import Transaction
from aiq.backends.memory.unique import forget_keys
from aiq.bounds import RESERVATION_KEPT_MS
from aiq.rules.budgets import is_over
from aiq.rules.fairness import adds_nothing
from aiq.rules.limits import at_rest


def forget(tx: Transaction, limit: int) -> bool:
    """Forget at most `limit` of each kind, and say whether more of any kind is to be looked at."""
    _forget_reservations(tx, limit)
    _forget_parts(tx, limit)
    _forget_windows(tx, limit)
    _forget_lines(tx, limit)
    _forget_pools(tx, limit)
    more_keys = forget_keys(tx, limit)
    accounts, idle, since_ms = tx.tables.accounts, tx.tables.lanes.idle, _since_ms(tx)
    kinds = (accounts.closed, accounts.parts, accounts.windows, idle.lines)
    return more_keys or any(kind.until(since_ms) for kind in kinds) or any(True for _ in _resting_pools(tx))


def _forget_reservations(tx: Transaction, limit: int) -> None:
    """Forget calls that have been closed for so long that nobody corrects them any more. Spec: CALL-13"""
    accounts = tx.tables.accounts
    for key in accounts.closed.until(_since_ms(tx))[:limit]:
        accounts.closed.drop(key)
        del accounts.reservations[key]


def _forget_parts(tx: Transaction, limit: int) -> None:
    """Forget what is left of limits for tenants and keys that make no use of it. Spec: LIMIT-17"""
    accounts = tx.tables.accounts
    for part in accounts.parts.until(_since_ms(tx))[:limit]:
        if at_rest(accounts.limits[part[0]], accounts.states[part], tx.now_ms):
            accounts.parts.drop(part)
            del accounts.states[part]
        else:
            accounts.parts.touch(part, tx.now_ms)


def _forget_windows(tx: Transaction, limit: int) -> None:
    """Forget how budgets stood in windows that are over, and first what was granted in them. Spec: BUDGET-15"""
    accounts, since_ms, left = tx.tables.accounts, _since_ms(tx), limit
    for window in accounts.windows.until(since_ms)[:limit]:
        budget, window_ms = window
        if accounts.balances[window].held or not is_over(accounts.budgets[budget], window_ms, since_ms):
            accounts.windows.touch(window, tx.now_ms)
            continue
        granted = sorted(one for one, counts_ms in accounts.grants[budget].items() if counts_ms == window_ms)
        for one in granted[:left]:
            del accounts.grants[budget][one]
        if len(granted) <= left:
            accounts.windows.drop(window)
            del accounts.balances[window]
        left = max(0, left - len(granted))


def _forget_lines(tx: Transaction, limit: int) -> None:
    """Forget lines without jobs that would begin the same if nothing were kept of them. Spec: FAIR-6"""
    idle = tx.tables.lanes.idle
    for spot in idle.lines.until(_since_ms(tx))[:limit]:
        queue, pool, band, tenant = spot
        if _says_nothing(tx, queue, (pool, band, tenant)):
            tx.tables.lanes[queue].forget_line((pool, band, tenant))
        else:
            idle.lines.touch(spot, tx.now_ms)


def _says_nothing(tx: Transaction, queue: str, key: LineKey) -> bool:
    lanes, (name, band, _) = tx.tables.lanes[queue], key
    line, pool = lanes.line(key), lanes.pool(name)
    changed_ms = tx.tables.lanes.idle.pools.at_ms((queue, name))
    unused = not lanes.bands(name) and (changed_ms is None or changed_ms <= _since_ms(tx))
    same = adds_nothing(line.service, lanes.least_service(name, band), pool.served[band])
    return line.wake_at_ms <= tx.now_ms and (unused or same)


def _forget_pools(tx: Transaction, limit: int) -> None:
    """Forget pools in which nothing stands, and of which no line is left. Spec: FAIR-6"""
    for queue, name in list(islice(_resting_pools(tx), limit)):
        tx.tables.lanes[queue].forget_pool(name)


def _resting_pools(tx: Transaction) -> Iterator[PoolSpot]:
    for queue, name in tx.tables.lanes.idle.pools.until(_since_ms(tx)):
        lanes = tx.tables.lanes[queue]
        if lanes.pool(name).wake_at_ms <= tx.now_ms and not lanes.has_lines(name):
            yield queue, name


def _since_ms(tx: Transaction) -> int:
    """What was last touched at this instant or before is old enough."""
    return tx.now_ms - RESERVATION_KEPT_MS
