"""Faults of chapter 11: what budgets grant, hold and spend."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "a_budget_refuses_the_exact_amount": mutant(
        "BUDGET-1",
        ("rules.budgets", "return all(amounts.get(name, 0) <= _left(", "return all(amounts.get(name, 0) < _left("),
    ),
    "a_budget_is_not_checked": mutant(
        "BUDGET-1 BUDGET-6",
        ("rules.budgets", "return all(amounts.get(name, 0) <= _left(", "return True or all(_left("),
    ),
    "a_budget_is_checked_in_one_step_and_added_to_in_another": mutant(
        "BUDGET-1 BUDGET-6",
        (
            "transition",
            "    now_ms: int\n    topics",
            "    now_ms: int\n    stale: dict = field(default_factory=dict)\n    topics",
        ),
        (
            "door",
            "        await asyncio.sleep(0)\n        self._check_open()\n        home = self._home\n",
            (
                "        stale = dict(self._home.tables.accounts.balances)\n"
                "        await asyncio.sleep(0)\n        self._check_open()\n"
                "        home = self._home\n"
            ),
        ),
        (
            "door",
            "tx = Transaction(home.tables, home.clock())",
            "tx = Transaction(home.tables, home.clock(), stale)",
        ),
        (
            "books",
            "return self._accounts.balances.get((budget_id, window_ms)) or",
            "return self._tx.stale.get((budget_id, window_ms)) or",
        ),
    ),
    "what_is_held_of_a_budget_is_not_counted": mutant(
        "BUDGET-1",
        ("rules.budgets", "- state.spent.get(name, 0) - state.held.get(name, 0)\n", "- state.spent.get(name, 0)\n"),
    ),
    "what_is_spent_of_a_budget_is_not_counted": mutant(
        "BUDGET-1 BUDGET-3",
        ("rules.budgets", "- state.spent.get(name, 0) - state.held.get(name, 0)\n", "- state.held.get(name, 0)\n"),
    ),
    "parents_of_budgets_are_forgotten": mutant(
        "BUDGET-1", ("rules.drawing", "            if spec.parent is not None:\n", "            if False:\n")
    ),
    "a_budget_counts_twice_in_a_chain": mutant(
        "BUDGET-1",
        ("rules.drawing", "    found: dict[str, BudgetSpec] = {}\n", "    found: dict[object, BudgetSpec] = {}\n"),
        (
            "rules.drawing",
            "        spec = books.budget(name) if name not in found else None\n",
            "        spec = books.budget(name)\n",
        ),
        ("rules.drawing", "            found[name] = spec\n", "            found[object()] = spec\n"),
    ),
    "parents_come_before_the_budget_of_the_tenant": mutant(
        "BUDGET-1",
        (
            "rules.drawing",
            "                names.append(spec.parent)\n",
            "                names.insert(names.index(name) + 1, spec.parent)\n",
        ),
    ),
    "the_farthest_budget_decides": mutant(
        "BUDGET-1", ("rules.drawing", "    return list(found.values())\n", "    return list(found.values())[::-1]\n")
    ),
    "weights_of_a_budget_are_ignored": mutant(
        "BUDGET-2",
        (
            "rules.budgets",
            "found = {TOKENS: weighted(tokens, spec.weights), USD_MICROS: usd_micros}",
            "found = {TOKENS: weighted(tokens, {}), USD_MICROS: usd_micros}",
        ),
    ),
    "a_call_reserves_what_it_expects_of_a_budget": mutant(
        "BUDGET-2",
        (
            "rules.budgets",
            "tokens = {INPUT: need.input, OUTPUT: need.max_output}",
            "tokens = {INPUT: need.input, OUTPUT: need.output}",
        ),
    ),
    "a_call_reserves_no_money": mutant(
        "BUDGET-2",
        (
            "rules.budgets",
            "found = _amounts(spec, tokens, cost(tokens, prices)[0])",
            "found = _amounts(spec, tokens, 0)",
        ),
    ),
    "a_dispatch_that_needs_little_reserves_nothing": mutant(
        "BUDGET-2",
        ("rules.budgets", "return found if none_needed else {**dict.fromkeys(spec.caps, 1), **found}", "return found"),
    ),
    "a_settlement_spends_what_was_reserved": mutant(
        "BUDGET-3 BUDGET-5",
        (
            "rules.accounting",
            "        after = budgets.settled(state, draw, amounts)\n",
            "        after = budgets.spent_in_full(state, draw)\n",
        ),
    ),
    "a_settlement_spends_at_most_what_was_reserved": mutant(
        "BUDGET-3",
        (
            "rules.accounting",
            "        if account.guessed and amounts != draw.held:\n            amounts = {kind",
            "        if draw.held:\n            amounts = {kind",
        ),
    ),
    "a_settlement_leaves_what_a_budget_holds": mutant(
        "BUDGET-3 BUDGET-5",
        (
            "rules.budgets",
            "return replace(state, held=less(state.held, draw.held), spent=total(state.spent, change))",
            "return replace(state, spent=total(state.spent, change))",
        ),
    ),
    "use_so_far_is_spent_and_held": mutant(
        "BUDGET-3",
        (
            "rules.budgets",
            "moved = {name: min(amount, draw.held.get(name, 0)) for name, amount in more.items()}",
            "moved = {}",
        ),
    ),
    "use_so_far_is_not_spent": mutant(
        "BUDGET-3",
        (
            "rules.closing",
            "draws = tuple([draw_so_far(books, draw, account) for draw in found.draws])",
            "draws = found.draws",
        ),
    ),
    "a_call_that_was_not_reserved_spends_nothing": mutant(
        "BUDGET-3", ("rules.closing", "        draws=tuple(draws),\n", "        draws=(),\n")
    ),
    "a_lost_run_spends_nothing": mutant(
        "BUDGET-4",
        (
            "rules.budgets",
            "return replace(state, held=less(state.held, draw.held), spent=total(state.spent, draw.held))",
            "return replace(state, held=less(state.held, draw.held))",
        ),
    ),
    "a_lost_run_holds_its_budget_for_ever": mutant(
        "BUDGET-4",
        (
            "rules.budgets",
            "return replace(state, held=less(state.held, draw.held), spent=total(state.spent, draw.held))",
            "return state",
        ),
    ),
    "a_late_settlement_spends_on_top": mutant(
        "BUDGET-4",
        (
            "rules.budgets",
            "change = _known(state, draw, less(used, draw.spent))",
            "change = _known(state, draw, used)",
        ),
    ),
    "what_was_never_sent_is_spent": mutant(
        "BUDGET-5",
        (
            "rules.accounting",
            "    if how is CallState.EXPIRED:\n        after = budgets",
            "    if how is not CallState.SETTLED:\n        after = budgets",
        ),
    ),
    "windows_never_end": mutant(
        "BUDGET-7", ("rules.budgets", "    if window is None:\n        return 0\n", "    if True:\n        return 0\n")
    ),
    "a_month_has_thirty_days": mutant(
        "BUDGET-7",
        (
            "rules.budgets",
            'return (day if window == "day" else day - _day_of_month(day)) * _DAY_MS',
            'return (day if window == "day" else day - day % 30) * _DAY_MS',
        ),
    ),
    "leap_years_are_forgotten": mutant(
        "BUDGET-7",
        (
            "rules.budgets",
            "year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365",
            "year = (of_era - of_era // 1_461) // 365",
        ),
    ),
    "a_reservation_is_settled_in_the_window_of_now": mutant(
        "BUDGET-7",
        (
            "rules.accounting",
            "    state = books.budget_state(draw.budget, draw.window_ms)\n    if how",
            "    state = drawing.state_of(books, spec)\n    if how",
        ),
    ),
    "use_so_far_is_spent_in_the_window_of_now": mutant(
        "BUDGET-7",
        (
            "rules.accounting",
            "    state = books.budget_state(draw.budget, draw.window_ms)\n    changed",
            "    state = drawing.state_of(books, spec)\n    changed",
        ),
    ),
    "a_grant_is_for_ever": mutant(
        "BUDGET-7 BUDGET-10",
        (
            "books",
            "return self._accounts.balances.get((budget_id, window_ms)) or BudgetState(window_ms=window_ms)",
            (
                "return self._accounts.balances.get((budget_id, window_ms)) or "
                "BudgetState(window_ms=window_ms, granted=next((b.granted for (i, _), b in "
                "self._accounts.balances.items() if i == budget_id), {}))"
            ),
        ),
    ),
    "a_new_window_lets_nobody_go": mutant("BUDGET-7 HOLD-4", ("holding", " if end_ms <= tx.now_ms)", " if False)")),
    "the_end_of_a_window_is_not_due": mutant("BUDGET-7", ("sweeps", "    instants += holds.renewals.values()\n", "")),
    "a_call_never_shrinks": mutant(
        "BUDGET-8",
        (
            "rules.drawing",
            "        if need.min_output is not None and largest >= need.min_output:\n",
            "        if False:\n",
        ),
    ),
    "a_call_shrinks_below_what_is_of_use": mutant(
        "BUDGET-8",
        (
            "rules.drawing",
            "        if need.min_output is not None and largest >= need.min_output:\n",
            "        if need.min_output is not None and largest >= 0:\n",
        ),
    ),
    "a_call_shrinks_too_far": mutant(
        "BUDGET-8",
        (
            "rules.drawing",
            "            return _asking(need, largest)\n",
            "            return _asking(need, need.min_output)\n",
        ),
    ),
    "limits_count_what_a_call_would_have_liked": mutant(
        "BUDGET-8",
        (
            "rules.calls",
            "    need = fit.want.need\n    parts = [charging.part(spec, key, need) for spec, key in bound]\n",
            "    parts = [charging.part(spec, key, need) for spec, key in bound]\n    need = fit.want.need\n",
        ),
        ("rules.planning", "    if fit.want is not ask.want:\n", "    if False:\n"),
    ),
    "only_the_nearest_budget_makes_a_call_shrink": mutant(
        "BUDGET-8", ("rules.drawing", "    if lacking:\n", "    if False:\n")
    ),
    "a_guess_is_held_by_its_budget": mutant(
        "BUDGET-8",
        (
            "rules.drawing",
            "    if need.declared:\n        if need.min_output",
            "    if True:\n        if need.min_output",
        ),
        ("rules.estimates", "least = 1 if most is None else None", "least = None"),
    ),
    "a_budget_stored_again_begins_anew": mutant(
        "BUDGET-9",
        (
            "put_budgets",
            "    stored |= wanted\n",
            (
                "    stored |= wanted\n    for key in [key for key in tx.tables.accounts.balances if "
                "key[0] in wanted]:\n        del tx.tables.accounts.balances[key]\n"
            ),
        ),
    ),
    "storing_an_absent_budget_overwrites": mutant(
        "BUDGET-9", ("rules.trees", "if not absent_only or (", "if True or (")
    ),
    "a_budget_may_be_its_own_ancestor": mutant(
        "BUDGET-9",
        ("rules.trees", "        if length > MAX_CHAIN:\n", "        if length > MAX_CHAIN and parent is None:\n"),
        ("rules.trees", "    while parent is not None:\n", "    while parent is not None and length < 99:\n"),
    ),
    "a_chain_may_be_one_too_long": mutant(
        "BUDGET-9", ("rules.trees", "        if length > MAX_CHAIN:\n", "        if length > MAX_CHAIN + 1:\n")
    ),
    "a_parent_need_not_be_stored": mutant(
        "BUDGET-9",
        ("rules.trees", "if spec.parent is not None and spec.parent not in tree:", "if False:"),
        (
            "rules.trees",
            "length + 1, tree[parent].parent",
            "length + 1, tree[parent].parent if parent in tree else None",
        ),
    ),
    "caps_below_zero_are_accepted": mutant(
        "BUDGET-9", ("rules.budgets", 'check_range(f"{name} in the {kind}", amount, 0, bounds.MAX_MONEY)', "pass")
    ),
    "a_grant_counts_each_time": mutant(
        "BUDGET-10", ("grant", "    if grant_id not in accounts.grants[budget_id]:\n", "    if True:\n")
    ),
    "a_grant_is_known_by_its_id_alone": mutant(
        "BUDGET-10",
        (
            "grant",
            "    if grant_id not in accounts.grants[budget_id]:\n",
            "    if not any(grant_id in known for known in accounts.grants.values()):\n",
        ),
    ),
    "a_grant_of_what_is_not_capped_is_kept": mutant("BUDGET-10", ("grant", "        check_grant(spec, amounts)\n", "")),
    "a_grant_that_is_known_is_checked_again": mutant(
        "BUDGET-10",
        ("grant", "        check_grant(spec, amounts)\n", ""),
        (
            "grant",
            "    if spec is None:\n",
            "    if spec is not None:\n        check_grant(spec, amounts)\n    if spec is None:\n",
        ),
    ),
    "a_grant_takes_the_place_of_the_one_before": mutant(
        "BUDGET-10", ("grant", "granted=total(state.granted, amounts)", "granted=amounts")
    ),
    "a_grant_is_not_counted": mutant(
        "BUDGET-10", ("rules.budgets", "return cap + state.granted.get(name, 0) - state", "return cap - state")
    ),
    "a_budget_that_comes_with_a_job_overwrites": mutant(
        "BUDGET-11",
        (
            "enqueue",
            "created = to_store(tx.tables.accounts.budgets, brought, absent_only=True)",
            "created = to_store(tx.tables.accounts.budgets, brought, absent_only=False)",
        ),
    ),
    "a_budget_that_comes_with_a_job_is_not_stored": mutant(
        "BUDGET-11", ("enqueue", "    tx.tables.accounts.budgets |= created\n", "")
    ),
    "a_budget_of_a_refused_batch_is_stored": mutant(
        "BUDGET-11",
        (
            "enqueue",
            "    books = MemoryBooks(tx, created)\n",
            "    tx.tables.accounts.budgets |= created\n    books = MemoryBooks(tx, created)\n",
        ),
    ),
    "a_chain_of_a_job_may_be_too_long": mutant(
        "BUDGET-11", ("rules.booking", "    if len(chain) > bounds.MAX_CHAIN:\n", "    if False:\n")
    ),
    "only_the_nearest_budget_is_drawn_from": mutant(
        "BUDGET-12 BUDGET-1",
        (
            "rules.drawing",
            "return _chain(books, record.budgets) if record.budgets else []",
            "return _chain(books, record.budgets)[:1] if record.budgets else []",
        ),
    ),
    "the_budget_of_a_tenant_binds_nobody": mutant(
        "BUDGET-13", ("rules.drawing", "    if not record.tenant:\n", "    if True:\n")
    ),
    "a_budget_without_room_takes_of_the_limit": mutant(
        "BUDGET-14",
        (
            "rules.planning",
            "    if not isinstance(fit, drawing.Fit):\n        return fit\n",
            (
                "    if not isinstance(fit, drawing.Fit):\n        for spec, key in ask.bound:\n"
                "            one = Bound(spec, key)\n            books.put_limit_state(spec.name, key, "
                "limits.taken(spec, standing.state_of(books, one), Part(limit=spec.name, requests=1)))\n"
                "        return fit\n"
            ),
        ),
    ),
    "a_budget_without_room_counts_a_failure": mutant(
        "BUDGET-14 HOLD-1",
        (
            "yard",
            "keep(self._tx, record, replace(record, held=reason, held_by=by), need)",
            "keep(self._tx, record, replace(record, held=reason, held_by=by, failures=record.failures + 1), need)",
        ),
    ),
    "a_call_that_a_budget_refuses_stands_in_line": mutant(
        "BUDGET-14",
        (
            "rules.calls",
            "    if isinstance(fit, Short):\n        spec = fit.budget\n",
            (
                "    if isinstance(fit, Short):\n        _with_limits(books, record, request.number, "
                "Opening(Plan(need), first), bound, [charging.part(spec, key, need) for spec, key in "
                "bound])\n        spec = fit.budget\n"
            ),
        ),
        (
            "rules.booking",
            "    calls.leave_line(books, record.id, record.fence, request.number)\n    return found\n",
            "    return found\n",
        ),
    ),
}
