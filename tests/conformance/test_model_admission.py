"""Random histories of limits, calls, budgets and order: the storage under test answers as the reference does.

Everything that can be seen is compared after each step, the audit of both is clean, and in the end, when whoever kept a
job has let go, every job comes to its end, and nothing is held of any limit or budget.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule
from msgspec import structs

from aiq.bounds import MAX_SWEEP
from aiq.model import (
    Band,
    BudgetSpec,
    CallRequest,
    CallState,
    Estimate,
    JobRecord,
    JobSpec,
    MustWait,
    OnExceeded,
    Outcome,
    Released,
    Report,
    RouteSpec,
    Settlement,
    Sleeping,
    State,
    Succeeded,
    Usage,
)
from aiq.testing.admissions import Admissions
from aiq.testing.marks import clause
from aiq.testing.plugin import Backend
from aiq.testing.terms import (
    CHAINS,
    TENANTS,
    estimates,
    small,
)
from aiq.testing.twins import run_histories

S, C = State, CallState
EFFORTS = {"dev": (60, 25), "ci": (250, 60), "nightly": (5_000, 120)}
"""Histories, and steps in each."""


class Histories(Admissions):
    """Single operations, and stories: short scripts of which only the details are drawn."""

    @rule(
        limits=st.sampled_from((("gpt",), ("gpt", "units"), ("both",), ("max", "key"), ("tenant",), ())),
        estimate=estimates,
        chain=st.sampled_from(CHAINS),
        events=st.lists(
            st.tuples(
                st.sampled_from(
                    (
                        *("call", "call", "call", "settle", "settle", "so far", "unsent", "refused", "wait", "wait"),
                        *("end", "sleep", "release", "expire", "cancel", "claim"),
                    )
                ),
                st.integers(0, 5),
                small,
            ),
            min_size=4,
            max_size=14,
        ),
    )
    def runs_make_calls(
        self, limits: tuple[str, ...], estimate: Estimate, chain: tuple[str, ...], events: list[tuple[str, int, int]]
    ) -> None:
        """Three jobs of one kind in a queue of their own, and a script for their runs, the lost ones too."""
        name = f"calls{self.next()}"
        spec = JobSpec(
            id="", task="work", queue=name, limits=limits, estimate=estimate, budgets=chain, tenant="acme", key="k"
        )
        self.both(lambda s: s.enqueue([replace(spec, id=f"{name} {n}", lease_ms=3_600_000) for n in range(3)]))
        runs, due_ms = list(self.take(name, 3)), 0
        for verb, who, tokens in events:
            run = runs[who % len(runs)] if runs else None
            if verb == "claim":
                runs += self.take(name, 3)
            elif verb == "wait":
                self.clock.advance_ms(due_ms or 100)
            elif run is not None and verb == "call":
                due_ms = self._call(run, who % 3 + 1, Estimate(input=tokens, max_output=who * 100))
            elif run is not None:
                self._end_or_report(verb, run, who % 4, tokens)
        self.take(name, 3)

    def _call(self, run: JobRecord, number: int, estimate: Estimate) -> int:
        """Ask for a call, and tell how long it has to wait."""
        answers = self.both(lambda s: s.acquire([CallRequest(lease=run.lease, number=number, estimate=estimate)]))
        answer = answers[0] if answers else None
        return (answer.wait_ms or 0) if isinstance(answer, MustWait) else 0

    def _end_or_report(self, verb: str, run: JobRecord, call: int, tokens: int) -> None:
        ends: dict[str, Outcome] = {"end": Succeeded(b""), "sleep": Sleeping("k", 0), "release": Released()}
        states = {"settle": C.SETTLED, "so far": C.OPEN, "unsent": C.UNSENT, "refused": C.THROTTLED}
        if verb in ends:
            self.sent.append(Settlement(run.lease, str(self.next()), ends[verb]))
            self.settle_again(1)
        elif verb in states:
            usage = () if verb in ("unsent", "refused") else (Usage("m", tokens, tokens // 3),)
            told = Report(lease=run.lease, call=call, state=states[verb], used=usage)
            self.both(lambda s: s.report([told]))
        elif verb == "expire":
            self.clock.advance_ms(3_600_000)
            self.upkeep(MAX_SWEEP)
        else:
            self.both(lambda s: s.cancel([run.id], force=bool(tokens)))

    @rule(
        jobs=st.lists(
            st.tuples(st.sampled_from(TENANTS), st.sampled_from(Band), st.sampled_from((0, 40, 700, 700, 2_500))),
            min_size=4,
            max_size=14,
        ),
        limits=st.sampled_from((("gpt",), ("gpt", "key"), ("key", "rate"), ("tenant",), ("both",), ())),
        steps=st.lists(
            st.tuples(
                st.sampled_from(
                    ("claim", "claim", "claim", "settle", "settle", "release", "cancel", "hold", "wait", "more")
                ),
                st.integers(0, 6),
            ),
            min_size=4,
            max_size=14,
        ),
    )
    def a_crowd_shares_a_queue(
        self, jobs: list[tuple[str, Band, int]], limits: tuple[str, ...], steps: list[tuple[str, int]]
    ) -> None:
        """Tenants, bands and costs, and a script of claims and of what moves shares, credits and pools."""
        queue, running = f"crowd{self.next()}", list[JobRecord]()
        batch = [
            JobSpec(
                id=f"{queue} {n}",
                task="work",
                queue=queue,
                tenant=tenant,
                band=band,
                limits=limits,
                key=(None, "k", "l")[n % 3],
                estimate=Estimate(input=cost, max_output=cost // 4, model="mn"[n % 2]),
                lease_ms=3_600_000,
            )
            for n, (tenant, band, cost) in enumerate(jobs)
        ]
        half = len(batch) // 2
        self.both(lambda s: s.enqueue(batch[:half]))
        for verb, n in steps:
            if verb == "claim":
                running += self.take(queue, 1 + n)
            elif verb == "wait":
                self.clock.advance_ms(n * 400)
            elif verb == "more":
                self.both(lambda s: s.enqueue(batch[half:]))
            elif verb in ("settle", "release") and running:
                run = running.pop(n % len(running))
                if verb == "settle":
                    self._end_or_report("settle", run, 0, n * 300)
                self._end_or_report("end" if verb == "settle" else "release", run, 0, 0)
            elif verb == "cancel":
                self.both(lambda s, n=n: s.cancel([batch[n % len(batch)].id]))
            else:
                self.both(lambda s, n=n: s.hold([batch[n % len(batch)].id]))
        self.take(queue, 20)

    @rule(
        on_exceeded=st.sampled_from(OnExceeded),
        window=st.sampled_from((None, "day")),
        needs=st.lists(small, min_size=2, max_size=6),
        steps=st.lists(
            st.sampled_from(("claim", "claim", "end", "use", "grant", "cap", "day", "upkeep", "unhold", "cancel")),
            min_size=4,
            max_size=12,
        ),
    )
    def a_budget_runs_dry(self, on_exceeded: OnExceeded, window: Any, needs: list[int], steps: list[str]) -> None:
        name, running = f"dry{self.next()}", list[JobRecord]()
        purse = BudgetSpec(id=name, caps={"tokens": 3_000}, on_exceeded=on_exceeded, window=window, parent="org")
        options = {"queue": name, "budgets": (name,), "creates": (purse,), "lease_ms": 3_600_000}
        ways = (RouteSpec(name="one", model="m"), RouteSpec(name="two", model="n"))
        batch = [
            JobSpec(id=f"{name} {n}", task="work", routes=ways, estimate=Estimate(input=need, max_output=0), **options)
            # The first needs more than the budget has at first, and perhaps more than it ever will.
            for n, need in enumerate((9 * needs[0], *needs[1:]))
        ]
        self.both(lambda s: s.enqueue(batch))
        for n, step in enumerate(steps):
            if step == "claim":
                running += self.take(name, 2)
            elif step in ("end", "use") and running:
                run = running.pop(0)
                self._end_or_report("settle" if step == "use" else "so far", run, 0, needs[n % len(needs)])
                self._end_or_report("end", run, 0, 0)
            elif step == "grant":
                self.both(lambda s, n=n: s.grant(name, str(n), {"tokens": 1_000}))
            elif step == "cap":
                self.both(lambda s, n=n: s.put_budgets([structs.replace(purse, caps={"tokens": 700 * n})]))
            elif step == "day":
                self.clock.advance_ms(86_400_000)
            elif step == "upkeep":
                self.upkeep(n % 3 + 1)
            elif step == "unhold":
                self.both(lambda s: s.unhold([batch[0].id]))
            else:
                self.both(lambda s: s.cancel([batch[-1].id]))
        self.take(name, 9)


@clause("CALL-15", "BUDGET-5", "STATE-3", "LIMIT-5", "CALL-7", "CALL-14", "HOLD-4", "POOL-1", "FAIR-1", "BAND-2")
def test_every_history_of_admission_is_that_of_the_reference(aiq_backend: Backend, pytestconfig: pytest.Config) -> None:
    run_histories(Histories, aiq_backend, pytestconfig, EFFORTS)
