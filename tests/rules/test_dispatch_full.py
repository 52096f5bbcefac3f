"""What a claim looks at of a queue that runs as many jobs as its settings allow."""

import pytest

from aiq.model import JobRecord, LimitSpec
from aiq.rules import planning
from aiq.rules.books import Books
from tests.rules.ledger import Ledger


def test_a_unit_of_a_queue_costs_one_plan_however_many_pools_stand_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    planned: list[str] = []
    plan = planning.plan

    def noted(books: Books, record: JobRecord) -> object:
        planned.append(record.id)
        return plan(books, record)

    monkeypatch.setattr(planning, "plan", noted)
    ledger.put(LimitSpec(name="queue:default", concurrency=1))
    for number in range(50):
        ledger.put(LimitSpec(name=f"limit{number}", concurrency=1))
        ledger.add(f"job{number:02}", limits=(f"limit{number}",))

    (run,) = ledger.claim(10)
    assert ledger.claim(10) == []
    ledger.settle(run)
    assert [job.id for job in ledger.claim(10)] == ["job01"]
    assert planned == ["job00", "job01"]
    assert not any(pool.parked_by for pool in ledger.pool_rows.values())
