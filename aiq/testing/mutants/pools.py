"""Faults of chapter 12: pools that stand aside, routes, the bounds of a queue, and what is told of a job."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "a_parked_pool_is_looked_at_each_time": mutant(
        "POOL-1",
        (
            "lanes",
            "        pools = self.parked_pools.due(now_ms, wakes.pools)\n",
            "        pools = list(self.parked_pools)\n",
        ),
    ),
    "a_parked_pool_never_opens_by_time": mutant(
        "POOL-1",
        ("lanes", "pools = self.parked_pools.due(now_ms, wakes.pools)", "pools = []"),
    ),
    "a_parked_pool_is_not_woken_by_room": mutant(
        "POOL-1", ("lanes", "pools, lines = self.parked_pools.behind(limit, key), ", "pools, lines = [], ")
    ),
    "an_urgent_job_waits_for_the_head_of_its_pool": mutant(
        "POOL-1",
        (
            "lanes",
            "        if parked and all(line.band < band for band in self.bands(line.pool)):\n",
            "        if False:\n",
        ),
    ),
    "room_for_a_pool_is_told_to_nobody": mutant(
        "POOL-1",
        (
            "books",
            "            if lanes.wake_behind(name, key):\n",
            "            if lanes.wake_behind(name, key) and False:\n",
        ),
    ),
    "nobody_passes_a_head": mutant(
        "POOL-2", ("rules.dispatch", "        if self._let_pass(offer):\n", "        if False:\n")
    ),
    "everybody_passes_a_head": mutant(
        "POOL-2", ("rules.dispatch", "bypass=booking.quote(self._books, record) // BYPASS)", "bypass=10**9)")
    ),
    "half_of_a_head_may_pass": mutant("POOL-2", ("rules.dispatch", "BYPASS = 4", "BYPASS = 2")),
    "what_has_passed_is_forgotten": mutant(
        "POOL-2", ("rules.dispatch", "        if stand.pool.head != record.id:\n", "        if True:\n")
    ),
    "another_head_inherits_what_has_passed": mutant(
        "POOL-2", ("rules.dispatch", "        if stand.pool.head != record.id:\n", "        if not stand.pool.head:\n")
    ),
    "what_passes_is_not_counted": mutant(
        "POOL-2", ("rules.dispatch", "                stand.change(bypass=stand.pool.bypass - cost)\n", "")
    ),
    "what_passes_does_not_prolong_the_wait": mutant(
        "POOL-2",
        (
            "rules.dispatch",
            "            found = again if isinstance(again, Blocked) and again.by is None else found\n",
            "",
        ),
    ),
    "exactly_a_quarter_may_not_pass": mutant(
        "POOL-2",
        (
            "rules.dispatch",
            "if booking.quote(self._books, head.record) > offer.stand.pool.bypass:",
            "if booking.quote(self._books, head.record) >= offer.stand.pool.bypass:",
        ),
    ),
    "a_claim_refuses_without_a_bound": mutant(
        "POOL-3",
        (
            "rules.dispatch",
            "self._left, self._tries = count, bounds.MAX_REFUSED",
            "self._left, self._tries = count, 10**9",
        ),
    ),
    "a_claim_that_refused_enough_says_nothing_is_due": mutant(
        "POOL-3", ("rules.dispatch", "return offer is not None\n", "return False\n")
    ),
    "a_claim_looks_behind_a_head_without_a_bound": mutant(
        "POOL-3", ("rules.dispatch", "for _ in range(bounds.MAX_BYPASSED):", "for _ in range(10**6):")
    ),
    "a_claim_opens_all_that_is_due": mutant(
        "POOL-3", ("lanes", "self.shut.due(now_ms, wakes.gates)", "self.shut.due(now_ms, 10**6)")
    ),
    "a_claim_opens_all_lines_that_are_due": mutant(
        "POOL-3", ("lanes", "self.parked_lines.due(now_ms, wakes.lines)", "self.parked_lines.due(now_ms, 10**6)")
    ),
    "a_claim_that_leaves_some_aside_says_nothing": mutant(
        "POOL-3", ("claim", "    more = wake_aside(tx, queues)\n", "    wake_aside(tx, queues)\n    more = False\n")
    ),
    "what_is_due_first_opens_last": mutant(
        "POOL-3",
        (
            "index",
            "self._wakes.first(min(limit, self._wakes.place((now_ms + 1,))))",
            "self._wakes.first(self._wakes.place((now_ms + 1,)))[-limit:]",
        ),
    ),
    "the_wake_of_a_pool_is_not_due": mutant(
        "POOL-4",
        (
            "lanes",
            "for parked in (self.parked_pools, self.parked_lines, self.shut)]",
            "for parked in (self.parked_lines, self.shut)]",
        ),
    ),
    "the_wake_of_a_line_is_not_due": mutant(
        "POOL-4",
        (
            "lanes",
            "for parked in (self.parked_pools, self.parked_lines, self.shut)]",
            "for parked in (self.parked_pools, self.shut)]",
        ),
    ),
    "the_wake_of_a_gate_is_not_due": mutant(
        "POOL-4",
        (
            "lanes",
            "for parked in (self.parked_pools, self.parked_lines, self.shut)]",
            "for parked in (self.parked_pools, self.parked_lines)]",
        ),
    ),
    "a_claim_looks_at_all_that_stands_in_a_parked_pool": mutant(
        "POOL-5",
        (
            "rules.offers",
            "        self._stands, self._offered = {}, None\n        self._places",
            (
                "        sum(len(repr(job)) for job in getattr(self._yard, '_tx').tables.jobs.values() "
                "if job.queue == self._yard.queue)\n        self._stands, self._offered = {}, None\n"
                "        self._places"
            ),
        ),
    ),
    "a_pool_that_is_refused_ends_the_claim": mutant(
        "POOL-6",
        (
            "rules.dispatch",
            "                self._park_pool(offer, found)\n",
            "                self._park_pool(offer, found)\n                break\n",
        ),
    ),
    "all_limits_make_one_pool": mutant(
        "POOL-6", ("rules.fairness", "return f\"{','.join(shared)}|{record.model}\"", 'return "limited"')
    ),
    "models_of_one_limit_share_a_pool": mutant(
        "POOL-6", ("rules.fairness", "return f\"{','.join(shared)}|{record.model}\"", "return ','.join(shared)")
    ),
    "a_failure_stays_on_its_route": mutant(
        "ROUTE-2",
        (
            "rules.routes",
            (
                "        case Retried():\n            onward = next_route(record, closed)\n"
                "            return Course(route if onward is None else onward, closed)\n"
            ),
            "        case Retried():\n            return Course(route, closed)\n",
        ),
    ),
    "after_the_last_route_there_is_none": mutant(
        "ROUTE-2",
        (
            "rules.routes",
            "places = ((record.route + step) % count for step in range(1, count + 1))",
            "places = (record.route + step for step in range(1, count - record.route))",
        ),
    ),
    "a_rate_limit_takes_the_next_route": mutant(
        "ROUTE-3",
        (
            "rules.routes",
            "return Course(route, closed, deferred_at_ms=since_ms)",
            "return Course((route + 1) % max(1, len(record.routes)), closed, deferred_at_ms=since_ms)",
        ),
    ),
    "a_closed_route_is_taken_by_a_failure": mutant(
        "ROUTE-2 ROUTE-4",
        ("rules.routes", "return (place for place in places if not closed_routes >> place & 1)", "return iter(places)"),
    ),
    "patience_never_ends": mutant(
        "ROUTE-5", ("rules.routes", "    if not parked(record):\n        return None\n", "    return None\n")
    ),
    "patience_ends_though_the_pool_is_open": mutant(
        "ROUTE-5", ("rules.routes", "    if not parked(record):\n        return None\n", "")
    ),
    "patience_leads_to_any_route": mutant(
        "ROUTE-5", ("rules.routes", "if not parked(replace(record, route=route))), None)", "if True), None)")
    ),
    "patience_is_lost_at_upkeep_only": mutant(
        "ROUTE-5",
        ("claim", "    lose_patience(tx, queues, MAX_SWEEP)\n", ""),
    ),
    "patience_is_lost_at_claims_only": mutant(
        "ROUTE-5", ("upkeep", "    rerouted = lose_patience(tx, tx.tables.lanes, limit)\n", "    rerouted = 0\n")
    ),
    "the_end_of_patience_is_not_due": mutant(
        "ROUTE-5",
        (
            "lanes",
            "return [at_ms for at_ms in (*opens, *ends) if at_ms is not None]",
            "return [at_ms for at_ms in opens if at_ms is not None]",
        ),
    ),
    "a_queue_has_no_bound": mutant(
        "QUEUE-1", ("enqueue", "if bound is not None and accounts.unstarted[queue] + count > bound:", "if False:")
    ),
    "a_bound_is_one_too_small": mutant(
        "QUEUE-1",
        ("enqueue", "accounts.unstarted[queue] + count > bound:", "accounts.unstarted[queue] + count >= bound:"),
    ),
    "a_full_queue_refuses_children": mutant(
        "QUEUE-1",
        ("enqueue", "    if parent is None:\n        _check_room(tx, fresh)\n", "    _check_room(tx, fresh)\n"),
    ),
    "a_full_queue_takes_what_it_has_room_for": mutant(
        "QUEUE-1",
        (
            "enqueue",
            "            raise QueueFull(queue, accounts.unstarted[queue], bound)\n",
            (
                "            for spec in fresh[: max(0, bound - accounts.unstarted[queue])]:\n"
                "                _store(tx, spec, None, None)\n            raise QueueFull(queue, "
                "accounts.unstarted[queue], bound)\n"
            ),
        ),
    ),
    "jobs_that_have_run_count_against_the_bound": mutant(
        "QUEUE-1",
        (
            "data",
            "return stands and record.fence == 0 and record.parent_id is None",
            "return stands and record.parent_id is None",
        ),
    ),
    "scheduled_jobs_do_not_count_against_the_bound": mutant(
        "QUEUE-1",
        ("data", "stands = record.state in (State.READY, State.SCHEDULED)", "stands = record.state is State.READY"),
    ),
    "room_in_a_queue_is_told_to_nobody": mutant(
        "QUEUE-1", ("transition", "        tx.topics.add(room_topic(moved.queue))\n", "        pass\n")
    ),
    "a_queues_own_limits_bind_nobody": mutant(
        "QUEUE-2", ("rules.standing", "    if books.queue_limited(record.queue):\n", "    if False:\n")
    ),
    "a_queues_rate_is_a_minutes_worth_at_once": mutant(
        "QUEUE-2",
        (
            "rules.limits",
            "name=name, requests=settings.rate, per_ms=per_ms, burst_ms=per_ms,",
            "name=name, requests=settings.rate, per_ms=per_ms, burst_ms=60_000,",
        ),
    ),
    "a_start_is_taken_back_from_the_rate": mutant(
        "QUEUE-2",
        (
            "rules.accounting",
            "kept = how is CallState.THROTTLED or part.limit.startswith(standing.QUEUE)",
            "kept = how is CallState.THROTTLED",
        ),
    ),
    "a_queue_without_bounds_keeps_its_units": mutant(
        "QUEUE-2",
        (
            "configure",
            "    if wanted is None and old is None:\n        return\n",
            '    if wanted is None:\n        stored.pop(f"queue:{queue}", None)\n        return\n',
        ),
    ),
    "settings_out_of_range_are_accepted": mutant(
        "QUEUE-1 QUEUE-2", ("configure", "    check_settings(queue, settings)\n", "")
    ),
    "the_limit_of_a_queue_is_listed": mutant(
        "QUEUE-2",
        (
            "get_limits",
            "    stored = tx.tables.accounts.limits\n",
            "    stored = tx.tables.accounts.limits | tx.tables.accounts.queue_limits\n",
        ),
    ),
    "an_explanation_takes_what_it_looks_at": mutant(
        "WHY-1",
        (
            "rules.explaining",
            "        case Plan():\n",
            "        case Plan():\n            planning.book(books, facts.record, 99, found)\n",
        ),
    ),
    "an_explanation_names_a_gate_behind_another": mutant(
        "WHY-1",
        ("rules.explaining", "return _parked(books, facts) or _in_line(books, facts)", "return _in_line(books, facts)"),
    ),
    "an_explanation_knows_no_times": mutant(
        "WHY-1",
        (
            "rules.explaining",
            "    return None if at_ms is None else max(0, at_ms - books.now_ms)\n",
            "    return None\n",
        ),
    ),
    "an_explanation_tells_no_figures": mutant(
        "WHY-1", ("rules.explaining", '    sentence = "; ".join(told)\n', '    sentence = "it is full"\n')
    ),
    "an_explanation_finds_a_job_that_is_not_there": mutant(
        "WHY-1",
        (
            "explain",
            "        raise NotFound(job_id)\n",
            (
                "        record = next(iter(tx.tables.jobs.values()), None) or JobRecord(id='', task='', "
                "state=State.DEAD)\n"
            ),
        ),
    ),
}
