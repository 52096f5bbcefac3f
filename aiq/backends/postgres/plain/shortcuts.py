"""Which steps a function of the schema can make whole, where all of it is plain."""

from collections.abc import Callable, Mapping
from typing import Final

from aiq.backends.postgres.plain import append, enqueue, exchange, renew, save_step
from aiq.backends.relational.append import append as append_step
from aiq.backends.relational.enqueue import enqueue as enqueue_step
from aiq.backends.relational.exchange import exchange as exchange_step
from aiq.backends.relational.plain import enqueue as plain_enqueue
from aiq.backends.relational.plain import exchange as plain_exchange
from aiq.backends.relational.plain.shortcuts import Shortcut
from aiq.backends.relational.renew import renew as renew_step
from aiq.backends.relational.save_step import save_step as save_step_step

SHORTCUTS: Final[Mapping[Callable[..., object], Shortcut]] = {
    append_step: Shortcut(append.append, append.may_be_plain),
    enqueue_step: Shortcut(enqueue.enqueue, plain_enqueue.may_be_plain),
    exchange_step: Shortcut(exchange.exchange, plain_exchange.may_be_plain),
    renew_step: Shortcut(renew.renew),
    save_step_step: Shortcut(save_step.save_step),
}
"""By the step in Python that is made where there is none."""
