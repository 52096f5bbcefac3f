"""Two storages that do the same with limits, calls and budgets, for tests by random histories."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from msgspec import structs

from aiq.bounds import MAX_SWEEP
from aiq.model import (
    Admitted,
    Band,
    BudgetSpec,
    CallRequest,
    CallState,
    ClaimRequest,
    Estimate,
    JobSpec,
    LimitSpec,
    MustWait,
    Outcome,
    PriceRow,
    QueueSettings,
    Remaining,
    Report,
    Settlement,
    State,
    Throttle,
    Usage,
    UsageFilter,
    Want,
)
from aiq.testing.terms import (
    BUDGETS,
    CHAINS,
    CHANGED,
    LIMITS,
    NAMES,
    PRICES,
    QUEUES,
    TENANTS,
    TURNS_MS,
    amounts,
    estimates,
    names,
    outcomes,
    picks,
    queues,
    routes,
    small,
    used,
)
from aiq.testing.twins import Twins

S, C = State, CallState


class Admissions(Twins):
    """Jobs with terms, the calls of their runs, and whatever operators do meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.both(lambda s: s.put_limits(LIMITS))
        self.both(lambda s: s.put_budgets(BUDGETS))
        self.both(lambda s: s.put_prices(PRICES))
        self.sent: list[Settlement] = []
        self.asked: list[CallRequest] = []
        self.told: list[Report] = []

    @rule(
        count=st.integers(1, 4),
        queue=queues,
        limits=names,
        options=st.fixed_dictionaries(
            {
                "band": st.sampled_from(Band),
                "tenant": st.sampled_from(TENANTS),
                "key": st.sampled_from((None, "k", "l")),
                "estimate": st.one_of(st.none(), estimates),
                "budgets": st.sampled_from(CHAINS),
                "routes": routes,
                "flow": st.sampled_from((None, "flow")),
                "lease_ms": st.sampled_from((200, 5_000, 3_600_000)),
                "max_attempts": st.sampled_from((1, 3, 5)),
                "max_deferral_ms": st.sampled_from((60, 3_600_000)),
            }
        ),
    )
    def enqueue(self, count: int, queue: str, limits: tuple[str, ...], options: dict[str, Any]) -> None:
        """Store jobs of one kind."""
        batch = [
            JobSpec(id=f"job {self.next()}", task="work", queue=queue, limits=limits, **options) for _ in range(count)
        ]
        self.both(lambda s: s.enqueue(batch))

    @rule(worker=st.sampled_from("vw"), count=st.sampled_from((1, 2, 10)), wanted=st.permutations(QUEUES))
    def claim(self, worker: str, count: int, wanted: list[str]) -> None:
        """Claim from both queues."""
        wants = tuple(Want(queue, count) for queue in wanted)
        self.claim_as(ClaimRequest(worker, self.next(), f"lease {self.number}", wants))

    @rule(worker=st.sampled_from("vw"))
    def claim_again(self, worker: str) -> None:
        """Send the last claim of a worker again."""
        if worker in self.claims:
            self.both(lambda s: s.exchange((), self.claims[worker]))

    @rule(queue=queues, count=st.integers(1, 3))
    def who_waits_as_told_is_looked_at_then(self, queue: str, count: int) -> None:
        """Claim, wait for exactly as long as the answer says, and claim again."""
        for _ in range(count):
            answer = self.both(lambda s: s.exchange(()))
            assert answer is not None
            self.clock.advance_ms(answer.next_due_ms or 0)
            self.take(queue, 3)

    @rule(pick=picks, outcome=outcomes)
    def settle(self, pick: int, outcome: Outcome) -> None:
        """End a run."""
        self.sent.append(Settlement(self.live(pick).lease, str(self.next()), outcome))
        self.settle_again(1)

    @rule(last=st.integers(1, 2))
    def settle_again(self, last: int) -> None:
        """Send the last settlements again."""
        self.both(lambda s: s.exchange(self.sent[-last:]))

    @rule(pick=picks, batch=st.integers(1, 2), estimate=estimates, limits=names)
    def spawn(self, pick: int, batch: int, estimate: Estimate, limits: tuple[str, ...]) -> None:
        """Store children of a run, with a budget of their own before its."""
        parent = self.live(pick)
        own = BudgetSpec(id=f"job:{self.next()}", caps={"tokens": 3_000})
        spec = JobSpec(
            id="",
            task="work",
            queue="r",
            child_of="k",
            tenant=parent.tenant,
            budgets=(own.id, *parent.budgets)[:3],
            creates=(own,),
            estimate=estimate,
            limits=limits,
        )
        children = [replace(spec, id=f"{parent.id} child {self.next()}") for _ in range(batch)]
        self.both(lambda s: s.enqueue(children, parent=parent.lease))

    @rule(
        pick=picks,
        number=st.integers(1, 3),
        limits=names,
        estimate=estimates,
        times=st.sampled_from((1, 1, 2)),
        patient=st.booleans(),
    )
    def acquire(
        self, pick: int, number: int, limits: tuple[str, ...], estimate: Estimate, times: int, patient: bool
    ) -> None:
        """Ask for a call; a patient caller comes back when it was told."""
        request = CallRequest(lease=self.live(pick).lease, number=number, limits=limits, estimate=estimate)
        self.asked.append(request)
        answers = None
        for _ in range(times):
            answers = self.both(lambda s: s.acquire([request]))
        if patient and answers and isinstance(answers[0], MustWait) and answers[0].wait_ms is not None:
            self.clock.advance_ms(answers[0].wait_ms)
            self.both(lambda s: s.acquire([request]))

    @rule(last=st.integers(1, 4))
    def acquire_again(self, last: int) -> None:
        """Calls that were admitted, or refused, or wait, ask once more; some for a run that has ended."""
        if self.asked:
            requests = list({(one.lease, one.number): one for one in self.asked[-last:]}.values())
            before = self.both(lambda s: s.acquire(requests))
            after = self.both(lambda s: s.acquire(requests))
            for first, second in zip(before or (), after or (), strict=True):
                assert not isinstance(first, Admitted) or second == first

    @rule(
        pick=picks,
        call=st.integers(0, 3),
        state=st.sampled_from((C.OPEN, C.OPEN, C.SETTLED, C.SETTLED, C.SETTLED, C.UNSENT, C.THROTTLED)),
        usage=used,
        retry_after_ms=st.sampled_from((None, 0, 300)),
        remaining=st.lists(
            st.builds(Remaining, limit=st.sampled_from(NAMES), requests=st.sampled_from((None, 2)), tokens=small),
            max_size=1,
        ).map(tuple),
    )
    def report(
        self,
        pick: int,
        call: int,
        state: CallState,
        usage: tuple[Usage, ...],
        retry_after_ms: int | None,
        remaining: tuple[Remaining, ...],
    ) -> None:
        """Say of a call of a running job what it used, or how it ended."""
        usage = () if state in (C.UNSENT, C.THROTTLED) else usage
        told = Report(
            lease=self.live(pick).lease,
            call=call,
            state=state,
            used=usage,
            retry_after_ms=retry_after_ms if state is C.THROTTLED else None,
            remaining=remaining,
        )
        self.told.append(told)
        self.both(lambda s: s.report([told]))

    @rule(
        pick=picks, call=st.integers(0, 3), usage=used, state=st.sampled_from((C.SETTLED, C.SETTLED, C.UNSENT, C.OPEN))
    )
    def report_of_any_run_that_ever_was(self, pick: int, call: int, usage: tuple[Usage, ...], state: CallState) -> None:
        """Say it of a call of any run, which may have lost its job long ago."""
        if self.runs:
            run = self.runs[-1 - pick % len(self.runs)]
            told = Report(lease=run.lease, call=call, state=state, used=() if state is C.UNSENT else usage)
            self.told.append(told)
            self.both(lambda s: s.report([told]))

    @rule(last=st.integers(1, 3))
    def report_again(self, last: int) -> None:
        """Send the last reports again."""
        if self.told:
            self.both(lambda s: s.report(self.told[-last:]))

    @rule(pick=picks, force=st.booleans())
    def cancel(self, pick: int, force: bool) -> None:
        """Cancel a job."""
        self.both(lambda s: s.cancel([self.known(pick)], force=force))

    @rule(turn_ms=st.sampled_from(TURNS_MS))
    def turn_the_clock(self, turn_ms: int) -> None:
        """Let time pass, or go back."""
        self.clock.advance_ms(turn_ms)

    @rule(limit=st.sampled_from((1, 2, MAX_SWEEP)))
    def upkeep(self, limit: int) -> None:
        """Do what is due."""
        self.both(lambda s: s.upkeep(limit))

    @rule(queue=queues, pause=st.sampled_from((True, False, False)))
    def pause(self, queue: str, pause: bool) -> None:
        """Pause a queue, or resume it."""
        self.both(lambda s: s.pause(queue) if pause else s.resume(queue))

    @rule(
        limit=st.sampled_from(NAMES),
        key=st.sampled_from(("", "acme", "k")),
        tokens=small,
        after=st.sampled_from((None, 0, 700)),
    )
    def throttle(self, limit: str, key: str, tokens: int, after: int | None) -> None:
        """Tell of a 429."""
        keyed = key if limit in ("tenant", "key", "rate") else ""
        told = Throttle(limit=limit, key=keyed, tokens=tokens, retry_after_ms=after)
        self.both(lambda s: s.throttled([told]))

    @rule(spec=st.sampled_from(CHANGED), absent_only=st.sampled_from((False, False, True)))
    def put_limit(self, spec: LimitSpec, absent_only: bool) -> None:
        """Change a limit."""
        self.both(lambda s: s.put_limits([spec], absent_only=absent_only))

    @rule(budget=st.sampled_from(BUDGETS), percent=st.sampled_from((0, 50, 100, 150)))
    def put_budget(self, budget: BudgetSpec, percent: int) -> None:
        """Change the caps of a budget."""
        caps = {name: cap * percent // 100 for name, cap in budget.caps.items()}
        self.both(lambda s: s.put_budgets([structs.replace(budget, caps=caps)]))

    @rule(
        budget=st.sampled_from(BUDGETS),
        number=st.integers(1, 3),
        amount=amounts,
        more=st.sampled_from(({}, {}, {"usd_micros": 40})),
    )
    def grant(self, budget: BudgetSpec, number: int, amount: int, more: dict[str, int]) -> None:
        """Add to a budget, perhaps once more, perhaps of what it does not count."""
        added = {**dict.fromkeys(budget.caps, amount), **more}
        self.both(lambda s: s.grant(budget.id, f"grant {number}", added))

    @rule(
        model=st.sampled_from(("m", "n")),
        category=st.sampled_from(("input", "output")),
        price=small,
        ahead_ms=st.sampled_from((0, 900)),
    )
    def put_price(self, model: str, category: str, price: int, ahead_ms: int) -> None:
        """Change a price, now or soon."""
        row = PriceRow(
            model=model, category=category, usd_micros_per_million=price * 1_000, from_ms=self.clock() + ahead_ms
        )
        self.both(lambda s: s.put_prices([row]))

    @rule(
        queue=queues,
        max_ready=st.sampled_from((None, None, 3)),
        concurrency=st.sampled_from((None, 2)),
        rate=st.sampled_from((None, 3)),
    )
    def configure(self, queue: str, max_ready: int | None, concurrency: int | None, rate: int | None) -> None:
        """Bound a queue."""
        found = QueueSettings(max_ready=max_ready, concurrency=concurrency, rate=rate)
        self.both(lambda s: s.configure(queue, found))

    @rule(tenant=st.sampled_from(TENANTS[1:]), weight=st.sampled_from((300, 1_000, 2_500)))
    def weigh(self, tenant: str, weight: int) -> None:
        """Give a tenant another share."""
        self.both(lambda s: s.weigh(tenant, weight))

    @rule(some=st.lists(picks, min_size=1, max_size=3), hold=st.booleans())
    def hold(self, some: list[int], hold: bool) -> None:
        """Hold jobs, or let them go."""
        job_ids = [self.known(pick) for pick in some]
        self.both(lambda s: s.hold(job_ids) if hold else s.unhold(job_ids))

    @rule(pick=picks)
    def hold_a_ready_job(self, pick: int) -> None:
        """Hold one that can be held."""
        ready = [record.id for record in self.seen.values() if record.state is S.READY]
        if ready:
            self.both(lambda s: s.hold([ready[pick % len(ready)]]))

    @rule(pick=picks)
    def signal(self, pick: int) -> None:
        """Send a signal."""
        job_id, signal_id = self.known(pick), str(self.next())
        self.both(lambda s: s.send(job_id, "go", signal_id, b""))

    @rule(pick=picks)
    def explain(self, pick: int) -> None:
        """Ask why a job does not run."""
        self.both(lambda s: s.explain(self.known(pick)))

    @invariant()
    def ledgers_are_equal(self) -> None:
        """Compare what is left and held of limits and budgets, what was used, and how the queues stand."""
        self.both(lambda s: s.get_limits())
        self.both(lambda s: s.get_budgets())
        self.both(lambda s: s.usage(UsageFilter()))
        self.both(lambda s: s.get_queue(QUEUES[0]))
        self.both(lambda s: s.get_queue(QUEUES[1]))

    @invariant()
    def audits_are_clean(self) -> None:
        """Neither storage finds anything wrong with itself."""
        assert self.both(lambda s: s.audit()) == []

    def _drain(self) -> None:
        """Lift every bound, let everything go, and see it end; then nothing is held of anything."""
        self.both(lambda s: s.put_limits(LIMITS))
        budgets = self.both(lambda s: s.get_budgets())
        assert budgets is not None
        self.both(lambda s: s.put_budgets([structs.replace(status.spec, caps={}) for status in budgets]))
        self.both(lambda s: s.configure(QUEUES[0], QueueSettings()))
        self.both(lambda s: s.configure(QUEUES[1], QueueSettings()))
        self.records_are_equal_and_their_history_is_lawful()
        held = [record.id for record in self.seen.values() if record.state is S.HELD]
        self.both(lambda s: s.unhold(held))
        for record in self.seen.values():
            if record.state is S.SUSPENDED:
                self._signal(record.id)
        super()._drain()
        assert {record.state for record in self.seen.values()} <= {S.SUCCEEDED, S.DEAD, S.CANCELLED}
        self._check_nothing_is_held()

    def _signal(self, job_id: str) -> None:
        self.both(lambda s: s.send(job_id, "go", f"last of {job_id}", b""))

    def _check_nothing_is_held(self) -> None:
        limits, budgets = self.both(lambda s: s.get_limits()), self.both(lambda s: s.get_budgets())
        assert limits is not None
        assert budgets is not None
        for limit in limits:
            assert (limit.tokens_held, limit.running, limit.waiting) == (0, 0, 0), limit
        for budget in budgets:
            assert (dict(budget.state.held), budget.waiting) == ({}, 0), budget
