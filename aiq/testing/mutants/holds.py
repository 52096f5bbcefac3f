"""Faults of chapter 11, what happens then: jobs that are held, and what lets them go."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "a_job_without_room_in_its_budget_stays_in_its_lane": mutant(
        "HOLD-1",
        (
            "rules.dispatch",
            "            self._yard.hold(record, reason, budget.id, found.need)\n",
            "            self._tries = 0\n",
        ),
    ),
    "an_approval_is_held_like_any_other": mutant(
        "HOLD-1 HOLD-4",
        (
            "rules.dispatch",
            "reason = HeldFor.APPROVAL if way is OnExceeded.APPROVE else HeldFor.BUDGET",
            "reason = HeldFor.BUDGET",
        ),
    ),
    "an_operator_may_hold_what_runs": mutant(
        "HOLD-2",
        ("hold", "if record.state not in (State.READY, State.HELD):", "if record.state.terminal:"),
        (
            "hold",
            "        if record.state is State.READY:\n",
            "        if not record.state.terminal and record.state is not State.HELD:\n",
        ),
    ),
    "holding_stops_at_the_first_conflict": mutant(
        "HOLD-2",
        (
            "hold",
            "            raise Conflict(",
            (
                "            keep(tx, found[0], replace(found[0], held=HeldFor.OPERATOR), none()) if "
                "found[0].state is State.READY else None\n            raise Conflict("
            ),
        ),
    ),
    "holding_a_held_job_holds_it_again": mutant(
        "HOLD-2",
        (
            "hold",
            "        if record.state is State.READY:\n            keep(",
            (
                "        if record.state is State.HELD:\n            tx.tables.put(replace(record, "
                "events=record.events + 1))\n        if record.state is State.READY:\n"
                "            keep("
            ),
        ),
    ),
    "a_job_that_holds_itself_keeps_its_unit": mutant(
        "HOLD-2",
        ("rules.accounting", "    if part.slot and units:\n", "    if part.slot and units and account.charged:\n"),
    ),
    "letting_go_puts_jobs_behind_the_others": mutant(
        "HOLD-3",
        (
            "holding",
            'return move(tx, "T22", record, readied(record, Lane.RETURNED))',
            'return move(tx, "T22", record, readied(record, Lane.FRESH))',
        ),
    ),
    "letting_go_leaves_routes_closed": mutant(
        "HOLD-3 ROUTE-4", ("unhold", "let_go(tx, replace(record, closed_routes=0))", "let_go(tx, record)")
    ),
    "letting_go_counts_a_failure": mutant(
        "HOLD-3",
        (
            "unhold",
            "replace(record, closed_routes=0)",
            "replace(record, closed_routes=0, failures=record.failures + 1)",
        ),
    ),
    "letting_go_is_in_the_order_of_ids": mutant(
        "HOLD-3", ("unhold", "    for job_id in job_ids:\n", "    for job_id in sorted(job_ids):\n")
    ),
    "one_that_can_never_fit_keeps_the_others": mutant(
        "HOLD-4",
        (
            "holding",
            "in holds.lines.get(line, {}).values() if _fits(held.need, most))",
            "in holds.lines.get(line, {}).values())",
        ),
    ),
    "one_that_could_fit_later_is_passed_over": mutant(
        "HOLD-4", ("holding", "most = _figures(tx, line, ceiling)", "most = room.left")
    ),
    "what_was_granted_does_not_count_for_what_can_fit": mutant(
        "HOLD-4",
        ("rules.budgets", "return {name: cap + state.granted.get(name, 0) for name", "return {name: cap for name"),
    ),
    "a_grant_lets_nobody_go": mutant("HOLD-4", ("grant", "        let_go_on_room(tx)\n", "        tx.rooms.clear()\n")),
    "a_grant_lets_everybody_go": mutant(
        "HOLD-4", ("holding", "        if not _fits(held.need, left):\n            break\n", "")
    ),
    "room_is_given_to_each_as_if_alone": mutant(
        "HOLD-4",
        ("holding", "        left = {name: amount - held.need.get(name, 0) for name, amount in left.items()}\n", ""),
    ),
    "small_jobs_pass_those_held_before_them": mutant(
        "HOLD-4",
        (
            "holding",
            "        if not _fits(held.need, left):\n            break\n",
            "        if not _fits(held.need, left):\n            continue\n",
        ),
    ),
    "a_higher_cap_lets_nobody_go": mutant(
        "HOLD-4", ("put_budgets", "        tx.rooms.setdefault((HeldFor.BUDGET, budget_id), False)\n", "        pass\n")
    ),
    "a_refund_lets_nobody_go": mutant(
        "HOLD-4", ("rules.drawing", "        books.room_appeared(budget)\n", "        pass\n")
    ),
    "room_approves": mutant(
        "HOLD-4", ("holding", "if room.granted or held.reason is not HeldFor.APPROVAL)", "if True)")
    ),
    "more_than_a_sweep_is_let_go_at_once": mutant(
        "HOLD-4",
        (
            "holding",
            "def let_go_on_room(tx: Transaction, limit: int = MAX_SWEEP)",
            "def let_go_on_room(tx: Transaction, limit: int = 10**9)",
        ),
    ),
    "who_is_left_over_by_a_sweep_is_forgotten": mutant(
        "HOLD-4",
        (
            "holding",
            "            holds.letting_go[line] = LettingGo(left, room.granted)\n            break\n",
            "            break\n",
        ),
    ),
    "a_held_job_that_is_cancelled_stays_in_line": mutant(
        "HOLD-4",
        (
            "transition",
            "    if source is State.HELD:\n        tx.tables.accounts.holds.drop(moved.id)\n",
            (
                "    if source is State.HELD and moved.state is State.READY:\n"
                "        tx.tables.accounts.holds.drop(moved.id)\n"
            ),
        ),
        (
            "holding",
            "        let_go(tx, tx.tables.jobs[held.job_id])\n",
            (
                "        record = tx.tables.jobs[held.job_id]\n"
                "        let_go(tx, record) if record.state is State.HELD else None\n"
            ),
        ),
    ),
    "a_budget_that_fails_holds": mutant(
        "HOLD-5", ("rules.dispatch", "        if way is OnExceeded.FAIL:\n", "        if False:\n")
    ),
    "a_budget_that_fails_says_nothing": mutant(
        "HOLD-5",
        (
            "rules.dispatch",
            'JobError(type="BudgetExceeded", message=found.text, cause=Cause.BUDGET)',
            'JobError(type="BudgetExceeded", message="no", cause=Cause.BUDGET)',
        ),
    ),
    "a_budget_that_fails_tells_no_parent": mutant(
        "HOLD-5",
        ("yard", 'end(self._tx, "T25", record, replace(', 'move(self._tx, "T25", record, replace('),
        (
            "yard",
            "from aiq.backends.memory.transition import Transaction",
            "from aiq.backends.memory.transition import Transaction, move",
        ),
    ),
    "a_budget_that_degrades_holds": mutant(
        "HOLD-6",
        ("rules.dispatch", "onward = _next_open(record) if way is OnExceeded.DEGRADE else None", "onward = None"),
    ),
    "degrading_takes_closed_routes": mutant(
        "HOLD-6 ROUTE-4",
        (
            "rules.dispatch",
            "return next((place for place in places if not record.closed_routes >> place & 1), None)",
            "return next(iter(places), None)",
        ),
    ),
    "a_run_that_holds_itself_is_always_held": mutant(
        "HOLD-7", ("settle", "and has_room(tx, outcome.by, outcome.need):", "and False:")
    ),
    "a_run_that_holds_itself_is_never_held": mutant(
        "HOLD-7", ("settle", "and has_room(tx, outcome.by, outcome.need):", "and True:")
    ),
    "a_run_that_holds_itself_looks_before_it_gives_back": mutant(
        "HOLD-7",
        (
            "settle",
            "    record = _closed(tx, record, outcome)\n    changed",
            (
                "    roomy = isinstance(outcome, Held) and has_room(tx, outcome.by, outcome.need)\n"
                "    record = _closed(tx, record, outcome)\n    changed"
            ),
        ),
        (
            "settle",
            "        return Settled(_hold(tx, record, changed, outcome).state, record.late)\n",
            (
                "        return Settled((_hold(tx, record, changed, outcome) if roomy else keep(tx, "
                "record, replace(changed, held_by=getattr(outcome, 'by', '')), getattr(outcome, 'need', "
                "none()))).state, record.late)\n"
            ),
        ),
    ),
    "a_job_without_a_price_is_enqueued": mutant(
        "HOLD-8",
        (
            "rules.booking",
            "        if priced is not None and model and not drawing",
            "        if False and not drawing",
        ),
    ),
    "a_price_of_the_first_route_is_enough": mutant(
        "HOLD-8",
        (
            "rules.booking",
            "    for model in (model or named for model in models):\n",
            "    for model in [model or named for model in models][:1]:\n",
        ),
    ),
    "a_job_without_a_price_runs": mutant(
        "HOLD-8",
        (
            "rules.drawing",
            "    if priced is not None and wanted.need.model and not wanted.prices:\n",
            "    if False:\n",
        ),
    ),
    "a_price_lets_nobody_go": mutant(
        "HOLD-8",
        ("put_prices", "            tx.rooms.setdefault((HeldFor.PRICE, row.model), False)\n", "            pass\n"),
    ),
    "a_price_lets_jobs_of_other_models_go": mutant(
        "HOLD-8",
        (
            "put_prices",
            "            tx.rooms.setdefault((HeldFor.PRICE, row.model), False)\n",
            (
                "            for line in list(tx.tables.accounts.holds.lines):\n"
                "                tx.rooms.setdefault(line, False) if line[0] is HeldFor.PRICE else None\n"
            ),
        ),
    ),
}
