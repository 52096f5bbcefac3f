"""The rules of limits, estimates and fairness in Lua, beside those in Python."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aiq import bounds
from aiq.backends.redis import wire
from aiq.errors import InvalidInput
from aiq.model import (
    Charge,
    Estimate,
    LimitSpec,
    LimitState,
    LimitStatus,
    Need,
    Part,
    Remaining,
    Usage,
)
from aiq.policy import counted
from aiq.rules import buckets, charging, estimates, limits
from aiq.rules.books import Learned
from tests.backends.redis.cases import MANY, NOW, TOP, compare, given_, many, maybe, near

SPEC = "setmetatable(case.spec, defaults.LimitSpec)"
STATE = "setmetatable(case.state, defaults.LimitState)"
PART = "setmetatable(case.part, defaults.Part)"
NEED = "setmetatable(case.need, defaults.Need)"
JOB = "setmetatable(case.job, defaults.JobRecord)"


AMOUNTS = near(0, 1, 1_000, high=bounds.MAX_AMOUNT, low=0)
RATES = st.sampled_from([1, 2, 60, 1_000, 7_919, 600_000, 999_983, 10**9 + 7, 999_999_999_989, bounds.MAX_AMOUNT])
PERIODS = st.sampled_from([1, 1_000, 59_999, 60_000, 86_400_000, bounds.MAX_PERIOD_MS - 1, bounds.MAX_PERIOD_MS])
WEIGHTS = st.dictionaries(
    st.sampled_from(["input", "output", "cached"]), st.sampled_from([0, 1, 999, 1_000, 1_500, bounds.MAX_WEIGHT])
)


@st.composite
def specs(draw: st.DrawFn) -> LimitSpec:
    """Limits that are allowed; many of them with the largest burst that is."""
    requests, tokens, per_ms = draw(maybe(RATES)), draw(maybe(RATES)), draw(PERIODS)
    most_ms = bounds.MAX_PERIOD_MS
    rates = [rate for rate in (requests, tokens) if rate is not None]
    for rate in rates:
        most_ms = min(most_ms, TOP // 2 // buckets.scale(rate, per_ms, 1).capacity)
    if most_ms == 0:
        requests, tokens, most_ms = None, 60, 30_000
    return LimitSpec(
        name="l",
        requests=requests,
        tokens=tokens,
        per_ms=per_ms if most_ms != 30_000 else 60_000,
        burst_ms=draw(st.sampled_from([most_ms, max(1, most_ms // 2), 1])),
        ramp_ms=draw(st.sampled_from([0, 1, 7_777, bounds.MAX_PERIOD_MS])),
        concurrency=draw(maybe(st.integers(1, 3))),
        by=draw(st.sampled_from([None, "tenant", "key"])),
        charge=draw(st.sampled_from(Charge)),
        refund=draw(st.booleans()),
        weights=draw(WEIGHTS),
    )


@st.composite
def stands(draw: st.DrawFn) -> tuple[LimitSpec, LimitState]:
    """A limit, and how it stands: often full, or as deep in debt as it gets."""
    spec = draw(specs())
    levels = [
        0 if rate is None else draw(near(0, low=-TOP, high=buckets.scale(rate, spec.per_ms, spec.burst_ms).capacity))
        for rate in (spec.requests, spec.tokens)
    ]
    born_ms = NOW - draw(st.integers(0, 10_000))
    at_ms = born_ms + draw(st.integers(0, 10_000))
    state = LimitState(
        at_ms=at_ms,
        born_ms=born_ms,
        requests=levels[0],
        tokens=levels[1],
        held=draw(near(0, low=0, high=TOP)),
        pace=draw(st.sampled_from([100, 101, 729, 810, 980, 1_000])),
        paced_at_ms=born_ms,
        frozen_until_ms=draw(st.sampled_from([0, at_ms, at_ms + 1, at_ms + 60_000])),
        running=draw(st.integers(0, 4)),
        strikes=draw(st.integers(0, 9)),
    )
    return spec, state


@st.composite
def parts(draw: st.DrawFn, spec: LimitSpec) -> Part:
    """What a call takes of a limit. What it holds is what `charging.part` lets it hold."""
    sub = 1 if spec.tokens is None else buckets.scale(spec.tokens, spec.per_ms, spec.burst_ms).sub
    return Part(
        limit=spec.name,
        requests=draw(st.integers(0, 1)),
        charge=draw(AMOUNTS),
        rest=draw(near(0, low=0, high=min(bounds.MAX_AMOUNT, TOP // 4 // sub))),
        slot=draw(st.booleans()),
    )


def _held(spec: LimitSpec, part: Part) -> int:
    """What a part holds, in sub-units. A limit holds it before it is given back, and has room for it before."""
    return part.rest * (1 if spec.tokens is None else buckets.scale(spec.tokens, spec.per_ms, spec.burst_ms).sub)


def state_of(answer: list[Any]) -> LimitState:
    return wire.heard(LimitState, answer[0])


def told(spec: LimitSpec, state: LimitState, **more: Any) -> dict[str, Any]:
    return given_(spec=spec, state=state, **more)


FACTORS = near(0, 1, 1_000, 2**26, 2**27, 2**52, low=0)
DIVISORS = near(1, 1_000, 2**26, 2**51, 2**52, low=1)


@MANY
@given(many(st.tuples(near(0), FACTORS, DIVISORS)))
def test_a_product_of_any_size_is_divided_to_the_last_unit(cases: list[tuple[int, int, int]]) -> None:
    fits = [(a, b, c) for a, b, c in cases if abs(a * b // c) < TOP]

    compare(
        "return exact.product_over(unpack(case))",
        fits,
        [list(divmod(a * b, c)) for a, b, c in fits],
        lambda answer: answer,
    )
    compare("return exact.ceildiv(case[1], case[3])", cases, [-(-a // c) for a, _, c in cases])


@MANY
@given(many(st.tuples(near(0), FACTORS, near(0), FACTORS, DIVISORS)))
def test_a_sum_of_products_keeps_its_last_unit_or_its_side(cases: list[tuple[int, int, int, int, int]]) -> None:
    cases = [case for case in cases if max(abs(case[0] * case[1]), abs(case[2] * case[3])) <= 2**100]
    sums = [a * b + c * d for a, b, c, d, _ in cases]

    def cut(value: float) -> int:
        return max(-TOP, min(TOP, int(value)))

    compare("return exact.dot(unpack(case))", cases, list(map(cut, sums)), lambda answer: cut(answer[0]))
    close = [(case, found) for case, found in zip(cases, sums, strict=True) if abs(found // case[4]) < TOP]
    compare(
        "local a, b, c, d, divisor = unpack(case)\nreturn exact.sum_over(divisor, a, b, c, d)",
        [case for case, _ in close],
        [list(divmod(found, case[4])) for case, found in close],
        lambda answer: answer,
    )


@MANY
@given(many(stands()), st.sampled_from([-1, 0, 1, 30_000, 86_400_000, 2**50]))
def test_a_limit_is_brought_up_to_an_instant(cases: list[tuple[LimitSpec, LimitState]], later_ms: int) -> None:
    stand = [told(spec, state, now_ms=state.at_ms + later_ms) for spec, state in cases]

    compare(
        f"return limits.refilled({SPEC}, {STATE}, case.now_ms)",
        stand,
        [limits.refilled(spec, state, state.at_ms + later_ms) for spec, state in cases],
        state_of,
    )
    compare(
        f"return limits.at_rest({SPEC}, {STATE}, case.now_ms)",
        stand,
        [limits.at_rest(spec, state, state.at_ms + later_ms) for spec, state in cases],
    )


@MANY
@given(many(stands()), st.sampled_from([-1, 0, 1, 30_000]))
def test_a_limit_tells_how_it_stands(cases: list[tuple[LimitSpec, LimitState]], later_ms: int) -> None:
    used = limits.status

    compare(
        f"return limits.status({SPEC}, 'k', {STATE}, case.now_ms, 3)",
        [told(spec, state, now_ms=state.at_ms + later_ms) for spec, state in cases],
        [used(spec, "k", state, state.at_ms + later_ms, 3) for spec, state in cases],
        lambda answer: wire.heard(LimitStatus, answer[0]),
    )
    compare(
        f"return limits.status({SPEC}, '', nil, step.now_ms, 0), limits.opening({SPEC}, step.now_ms)",
        [{"spec": spec} for spec, _ in cases],
        [(limits.status(spec, "", None, NOW, 0), limits.opening(spec, NOW)) for spec, _ in cases],
        lambda answer: (wire.heard(LimitStatus, answer[0]), wire.heard(LimitState, answer[1])),
    )


AHEAD = st.tuples(st.integers(0, 2), AMOUNTS, AMOUNTS)


@MANY
@given(many(stands().flatmap(lambda one: st.tuples(st.just(one), parts(one[0]), AHEAD))))
def test_a_part_waits_as_long(cases: list[tuple[tuple[LimitSpec, LimitState], Part, tuple[int, int, int]]]) -> None:
    cases = [case for case in cases if (limits.wait_ms(*case[0], case[1], case[2]) or 0) < TOP]

    compare(
        f"local spec, state, part = {SPEC}, {STATE}, {PART}\n"
        "return {behind = limits.wait_ms(spec, state, part, case.ahead), alone = limits.wait_ms(spec, state, part)}",
        [told(*stand, part=part, ahead=ahead) for stand, part, ahead in cases],
        [[limits.wait_ms(*stand, part, ahead), limits.wait_ms(*stand, part)] for stand, part, ahead in cases],
        lambda answer: [dict(answer[0]).get(name) for name in ("behind", "alone")],
    )


@MANY
@given(many(stands().flatmap(lambda one: st.tuples(st.just(one), parts(one[0]), AMOUNTS))))
def test_each_step_of_a_call_changes_as_much(cases: list[tuple[tuple[LimitSpec, LimitState], Part, int]]) -> None:
    cases = [case for case in cases if _held(case[0][0], case[1]) <= min(case[0][1].held, TOP - case[0][1].held)]
    stands_ = [told(*stand, part=part, used=used) for stand, part, used in cases]
    for name, of in (("taken", limits.taken), ("returned", limits.returned), ("expired", limits.expired)):
        compare(
            f"return limits.{name}({SPEC}, {STATE}, {PART})",
            stands_,
            [of(*stand, part) for stand, part, _ in cases],
            state_of,
        )
    compare(
        f"return limits.reported({SPEC}, {STATE}, {PART}, case.used)",
        stands_,
        [limits.reported(*stand, part, used) for stand, part, used in cases],
        lambda answer: (wire.heard(LimitState, answer[0]), wire.heard(Part, answer[1])),
    )
    compare(
        f"local spec, state = {SPEC}, {STATE}\n"
        f"return limits.settled(spec, state, {PART}, case.used), limits.corrected(spec, state, 77, case.used),"
        " limits.released(state)",
        stands_,
        [
            [
                limits.settled(*stand, part, used),
                limits.corrected(*stand, 77, used),
                limits.released(stand[1]),
            ]
            for stand, part, used in cases
        ],
        lambda answer: [wire.heard(LimitState, one) for one in answer],
    )


@MANY
@given(many(st.tuples(stands(), AMOUNTS, maybe(near(0, 1_000, low=0, high=bounds.MAX_DELAY_MS)), maybe(AMOUNTS))))
def test_a_provider_teaches_as_much(
    cases: list[tuple[tuple[LimitSpec, LimitState], int, int | None, int | None]],
) -> None:
    stands_ = [
        told(*stand, tokens=tokens, after_ms=after_ms, remaining=Remaining(limit="l", requests=left, tokens=tokens))
        for stand, tokens, after_ms, left in cases
    ]

    compare(
        f"return limits.throttled({SPEC}, {STATE}, case.tokens, case.after_ms, step.now_ms),"
        f" limits.synced({SPEC}, {STATE}, case.remaining)",
        stands_,
        [
            (
                limits.throttled(*stand, tokens, after_ms, NOW),
                limits.synced(*stand, Remaining(limit="l", requests=left, tokens=tokens)),
            )
            for stand, tokens, after_ms, left in cases
        ],
        lambda answer: (wire.heard(LimitState, answer[0]), wire.heard(LimitState, answer[1])),
    )


@MANY
@given(many(st.tuples(stands(), specs())))
def test_a_limit_is_carried_over_to_new_numbers(cases: list[tuple[tuple[LimitSpec, LimitState], LimitSpec]]) -> None:
    def reshaped(stand: tuple[LimitSpec, LimitState], new: LimitSpec) -> LimitState | str:
        try:
            return limits.reshaped(stand[0], new, stand[1], NOW)
        except InvalidInput as error:
            return str(error)

    compare(
        f"return limits.reshaped({SPEC}, setmetatable(case.new, defaults.LimitSpec), {STATE}, step.now_ms)",
        [told(*stand, new=new) for stand, new in cases],
        [reshaped(stand, new) for stand, new in cases],
        lambda answer: answer["detail"][0] if isinstance(answer, dict) else wire.heard(LimitState, answer[0]),
    )


NEEDS = st.builds(
    Need,
    input=AMOUNTS,
    output=AMOUNTS,
    max_output=AMOUNTS,
    declared=st.booleans(),
)
TOKENS = st.dictionaries(st.sampled_from(["input", "output", "reasoning", "cached"]), AMOUNTS)
USED = st.lists(st.builds(lambda tokens: Usage(model="m", **tokens), TOKENS), max_size=2).map(tuple)


@MANY
@given(many(st.tuples(specs(), NEEDS, USED)))
def test_a_call_takes_and_uses_as_much(cases: list[tuple[LimitSpec, Need, tuple[Usage, ...]]]) -> None:
    def answers(spec: LimitSpec, need: Need, used: Sequence[Usage]) -> list[Any]:
        part = charging.part(spec, "k", need)
        name = charging.cost_limit([spec])
        fits = limits.never_fits(spec, part)
        return [part, fits, charging.counted(spec, used), charging.cost([part], name), name]

    compare(
        f"local spec = {SPEC}\n"
        f"local part, name = charging.part(spec, 'k', {NEED}), charging.cost_limit({{spec}})\n"
        "local fits, counted = limits.never_fits(spec, part), charging.counted(spec, case.used)\n"
        "return part, fits, counted, charging.cost({part}, name), name",
        [{"spec": spec, "need": need, "used": used} for spec, need, used in cases],
        [answers(*case) for case in cases],
        lambda answer: [wire.heard(Part, answer[0]), *answer[1:4], answer[4] if len(answer) > 4 else None],
    )


ESTIMATES = st.builds(Estimate, input=maybe(AMOUNTS), output=maybe(AMOUNTS), max_output=maybe(AMOUNTS))
MODELS = st.sampled_from(["", "m"])
QUANTILES = near(1_000, high=1_000 * bounds.MAX_AMOUNT, low=0)
COUNTS = st.sampled_from([0, 1, 2, 19, 20, 141, 142, 143, 144, 10**9])
LEARNED = st.builds(Learned, output=QUANTILES, outputs=COUNTS, input=QUANTILES, inputs=COUNTS)


@MANY
@given(many(st.tuples(maybe(ESTIMATES), LEARNED, MODELS, maybe(AMOUNTS), maybe(AMOUNTS))))
def test_a_need_is_estimated_alike(
    cases: list[tuple[Estimate | None, Learned, str, int | None, int | None]],
) -> None:
    compare(
        "local learned = setmetatable(case.learned, defaults.Learned)\n"
        "return estimates.need(case.estimate, learned, case.model), estimates.declared(case.estimate, case.model),"
        " estimates.taught(learned, case.input, case.output)",
        [
            given_(estimate=estimate, learned=learned, model=model, input=input_, output=output)
            for estimate, learned, model, input_, output in cases
        ],
        [
            [
                estimates.need(estimate, learned, model),
                estimates.declared(estimate, model),
                estimates.taught(learned, input_, output),
            ]
            for estimate, learned, model, input_, output in cases
        ],
        lambda answer: [wire.heard(Need, answer[0]), wire.heard(Need, answer[1]), wire.heard(Learned, answer[2])],
    )


def test_a_quantile_moves_as_far_after_any_number_of_samples() -> None:
    before = [Learned(output=10**15, outputs=count) for count in range(150)]

    compare(
        "return estimates.taught(setmetatable(case, defaults.Learned), nil, 1)",
        before,
        [estimates.taught(one, None, 1) for one in before],
        lambda answer: wire.heard(Learned, answer[0]),
    )


@MANY
@given(many(near(0, 999, 1_000, 10**6, 10**15)))
def test_a_number_is_written_alike(numbers: list[int]) -> None:
    compare("return figures.counted(case, 'token')", numbers, [counted(number, "token") for number in numbers])
