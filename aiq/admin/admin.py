"""The operator's side of a queue, put together from its rooms."""

from aiq.admin.budgets import BudgetAdmin
from aiq.admin.dead import DeadLetterAdmin
from aiq.admin.limits import LimitAdmin
from aiq.admin.queues import QueueAdmin
from aiq.admin.retention import RetentionAdmin
from aiq.admin.usage import UsageAdmin
from aiq.admin.workers import WorkerAdmin
from aiq.schedule import ScheduleAdmin


class Admin(
    LimitAdmin,
    BudgetAdmin,
    UsageAdmin,
    QueueAdmin,
    WorkerAdmin,
    DeadLetterAdmin,
    RetentionAdmin,
    ScheduleAdmin,
):
    """Sets and shows what all queues of a storage share. Made by `Queue.admin`; any process may use it at any time.

        await queue.admin.put_limit(aiq.Limit("openai.gpt", requests=600, tokens=450_000))
        await queue.admin.put_budget(aiq.Budget(tenant="acme", usd="50", window="day"))
        await queue.admin.grant("tenant:acme", usd=10)
        for limit in await queue.admin.limits():
            print(limit.limit.name, limit.tokens_left, limit.frozen)
        print((await queue.admin.usage(tenant="acme")).total.usd)

    What is set here counts from the next claim on, and stays whatever a later deploy names in its code. A call whose
    outcome is unknown is repeated, twice; all of them can be.
    """
