"""Which steps a function of the schema can make whole, where all of it is plain."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiq.backends.postgres.plain import append, enqueue, exchange, renew, save_step
from aiq.backends.relational.append import append as append_step
from aiq.backends.relational.enqueue import enqueue as enqueue_step
from aiq.backends.relational.exchange import exchange as exchange_step
from aiq.backends.relational.renew import renew as renew_step
from aiq.backends.relational.save_step import save_step as save_step_step


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Both take what the step takes. `may_be_plain` says what can be seen without a look at the storage; `make` has a
    line as well, and answers as the step does, or nothing where it finds that not all is plain."""

    # Any: each step has parameters and an answer of its own.
    make: Callable[..., Any]
    may_be_plain: Callable[..., bool] = lambda *_, **__: True


SHORTCUTS: Final[Mapping[Callable[..., object], Shortcut]] = {
    append_step: Shortcut(append.append, append.may_be_plain),
    enqueue_step: Shortcut(enqueue.enqueue, enqueue.may_be_plain),
    exchange_step: Shortcut(exchange.exchange, exchange.may_be_plain),
    renew_step: Shortcut(renew.renew),
    save_step_step: Shortcut(save_step.save_step),
}
"""By the step in Python that is made where there is none."""
