"""Routes: the ways in which a job can be done, one after the other."""

from dataclasses import dataclass
from functools import partial
from typing import Self

from aiq.errors import InvalidInput
from aiq.model import RouteSpec
from aiq.model.usage import check_model
from aiq.policy.durations import Duration, duration_ms
from aiq.policy.figures import check_name, listed
from aiq.policy.limit import Limit, Limits, limit_name, limits_of


@dataclass(frozen=True, slots=True, init=False)
class Route:
    """One way to do a job: a model, and the limits that go with it.

        @aiq.task(routes=[
            aiq.Route("gpt", model="gpt", limits=[GPT]),
            aiq.Route("claude", model="claude", limits=[CLAUDE], patience=30),
        ])
        async def write(ctx: aiq.Context, topic: str) -> str:
            return await ask(ctx.route.model, topic)

    A job begins with its first route. It takes the next one after a failure that may be retried, when a quota is used
    up, when a budget says "degrade", or when it has stood behind a limit of this route for longer than `patience`
    (seconds; None waits). A 429 does not change the route.

    Raises:
        InvalidName: the name is outside the alphabet.
        InvalidInput: what was passed are no limits, or the patience is out of range.
    """

    name: str
    model: str
    limits: tuple[Limit | str, ...]
    patience: float | None

    def __init__(self, name: str, *, model: str = "", limits: Limits = (), patience: Duration | None = None) -> None:
        check_name("route", name)
        check_model(model)
        keep = partial(object.__setattr__, self)
        keep("name", name)
        keep("model", model)
        keep("limits", limits_of(limits))
        kind = f'patience of route "{name}"'
        keep("patience", None if patience is None else duration_ms(kind, patience, low_ms=1) / 1000)

    def spec(self, common: tuple[Limit | str, ...] = ()) -> RouteSpec:
        """What a storage is handed. `common` are limits that the job takes on all its routes."""
        names = dict.fromkeys(limit_name(limit) for limit in (*self.limits, *common))
        patience_ms = None if self.patience is None else round(self.patience * 1000)
        return RouteSpec(name=self.name, model=self.model, limits=tuple(names), patience_ms=patience_ms)

    @classmethod
    def of(cls, spec: RouteSpec) -> Self:
        """The route of a stored job; its limits are named."""
        patience = None if spec.patience_ms is None else spec.patience_ms / 1000
        return cls(spec.name, model=spec.model, limits=spec.limits, patience=patience)


def routes_of(given: object) -> tuple[Route, ...]:
    """The routes of a list, in order.

    Raises:
        InvalidInput: it is no list, holds something else, or two routes of one name.
    """
    found: dict[str, Route] = {}
    for one in listed("routes", given, 'routes=[aiq.Route("gpt", model="gpt")]'):
        if not isinstance(one, Route):
            raise InvalidInput(f'routes has {one!r:.200}; pass routes: aiq.Route("gpt", model="gpt", limits=[GPT]).')
        if one.name in found:
            raise InvalidInput(f'Two routes are named "{one.name}". Give each its own name.')
        found[one.name] = one
    return tuple(found.values())
