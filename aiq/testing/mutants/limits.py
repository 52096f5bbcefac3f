"""Faults of chapter 10, the bucket: what is left of a limit, and when something fits."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "a_limit_is_one_for_each_queue": mutant(
        "LIMIT-1",
        (
            "rules.standing",
            'return record.key if spec.by == "key" else ""',
            'return record.key if spec.by == "key" else record.queue',
        ),
    ),
    "a_limit_stored_again_begins_anew": mutant(
        "LIMIT-1", ("put_limits", "states = {name: reshape(tx, stored[name], spec)", "states = {name: {}")
    ),
    "a_limit_stored_again_keeps_more_than_its_capacity": mutant(
        "LIMIT-1", ("rules.limits", "bounded(new, level * new.sub // old.sub)", "level * new.sub // old.sub")
    ),
    "a_limit_stored_again_forgets_what_is_held": mutant(
        "LIMIT-1",
        ("rules.limits", "        held=held,\n    )\n\n\ndef status", "        held=0,\n    )\n\n\ndef status"),
    ),
    "a_limit_stored_again_counts_what_is_held_in_old_units": mutant(
        "LIMIT-1",
        ("rules.limits", "held = state.held // _tokens(old).sub * _tokens(new).sub", "held = state.held"),
    ),
    "a_limit_stored_again_wakes_nobody": mutant(
        "LIMIT-1",
        (
            "put_limits",
            "        books.put_limit_state(name, key, state)\n        books.freed(name, key)\n",
            "        books.put_limit_state(name, key, state)\n",
        ),
    ),
    "a_limit_that_bounds_nothing_is_stored": mutant(
        "LIMIT-1",
        ("rules.limits", "if spec.requests is None and spec.tokens is None and spec.concurrency is None:", "if False:"),
    ),
    "a_bucket_may_be_too_large_to_count": mutant(
        "LIMIT-1", ("rules.buckets", "return 2 * found.capacity <= MAX_LEVEL", "return True")
    ),
    "limits_are_listed_as_they_were_stored": mutant(
        "LIMIT-1",
        (
            "get_limits",
            "asked = names or sorted(name for name in stored if name > after)",
            "asked = names or [name for name in stored if name > after]",
        ),
    ),
    "storing_what_is_absent_overwrites": mutant(
        "LIMIT-2", ("put_limits", "if standing is None or not absent_only:", "if True:")
    ),
    "a_limit_may_change_what_it_goes_by": mutant(
        "LIMIT-3", ("put_limits", "if standing is not None and standing.by != spec.by:", "if False:")
    ),
    "a_limit_that_conflicts_leaves_its_neighbours_stored": mutant(
        "LIMIT-3",
        (
            "put_limits",
            "            wanted[spec.name] = _checked(standing, spec)\n",
            (
                "            wanted[spec.name] = _checked(standing, spec)\n"
                "            stored.setdefault(spec.name, spec)\n"
            ),
        ),
    ),
    "a_new_limit_begins_full": mutant(
        "LIMIT-4", ("rules.limits", "OPENING_MS: Final = 5_000", "OPENING_MS: Final = 10**9")
    ),
    "a_new_limit_begins_empty": mutant(
        "LIMIT-4", ("rules.limits", "OPENING_MS: Final = 5_000", "OPENING_MS: Final = 0")
    ),
    "a_new_limit_begins_with_more_than_it_holds": mutant(
        "LIMIT-4",
        (
            "rules.buckets",
            "return min(span_ms * found.step * FULL_PACE, found.capacity)",
            "return span_ms * found.step * FULL_PACE",
        ),
    ),
    "a_limit_refuses_the_exact_amount": mutant(
        "LIMIT-5",
        (
            "rules.buckets",
            "return ceiling(lack, found.step * pace) if lack > 0 else 0",
            "return max(1, ceiling(lack, found.step * pace)) if lack >= 0 else 0",
        ),
    ),
    "a_wait_is_rounded_down": mutant(
        "LIMIT-5",
        ("rules.buckets", "return ceiling(lack, found.step * pace)", "return max(1, lack // (found.step * pace))"),
    ),
    "a_wait_is_a_ms_too_long": mutant(
        "LIMIT-5",
        (
            "rules.buckets",
            "return ceiling(lack, found.step * pace) if",
            "return 1 + ceiling(lack, found.step * pace) if",
        ),
    ),
    "a_wait_is_that_of_the_first_limit": mutant(
        "LIMIT-5",
        ("rules.limits", "    return max(waits)\n", "    return next((one for one in reversed(waits) if one), 0)\n"),
    ),
    "a_refusal_takes_the_request": mutant(
        "LIMIT-5",
        (
            "rules.planning",
            "        books.put_limit_state(one.bound.spec.name, one.bound.key, one.state)\n",
            (
                "        books.put_limit_state(one.bound.spec.name, one.bound.key, "
                "limits.taken(one.bound.spec, one.state, Part(limit='', requests=1)))\n"
            ),
        ),
    ),
    "requests_are_not_counted": mutant(
        "LIMIT-5", ("rules.limits", "    if spec.requests is not None:\n        found", "    if False:\n        found")
    ),
    "a_level_is_refilled_without_a_cap": mutant(
        "LIMIT-8",
        ("rules.buckets", "    if level >= found.capacity:\n        return found.capacity\n", ""),
        (
            "rules.buckets",
            "return min(found.capacity, level + min(elapsed_ms, ceiling(found.capacity - level, rate)) * rate)",
            "return level + elapsed_ms * rate",
        ),
    ),
    "what_is_larger_than_the_bucket_waits_for_ever": mutant(
        "LIMIT-6",
        (
            "rules.limits",
            "own = min((part.charge + part.rest) * found.sub + state.held, found.capacity)",
            "own = (part.charge + part.rest) * found.sub + state.held",
        ),
    ),
    "what_is_larger_than_the_bucket_leaves_no_debt": mutant(
        "LIMIT-6",
        (
            "rules.buckets",
            "    return max(-MAX_LEVEL, level)\n",
            "    return max(0, level)\n",
        ),
    ),
    "what_is_held_is_given_to_others": mutant(
        "LIMIT-5 LIMIT-6", ("rules.limits", "* found.sub + state.held, found.capacity)", "* found.sub, found.capacity)")
    ),
    "a_ramp_is_ignored": mutant("LIMIT-7", ("rules.limits", "if age_ms >= spec.ramp_ms:", "if True:")),
    "a_ramp_begins_with_nothing": mutant(
        "LIMIT-7",
        (
            "rules.limits",
            "LEAST_PACE + (FULL_PACE - LEAST_PACE) * age_ms // spec.ramp_ms",
            "1 + FULL_PACE * age_ms // spec.ramp_ms",
        ),
    ),
    "a_limit_refills_at_the_pace_of_now": mutant(
        "LIMIT-7",
        (
            "rules.limits",
            "pace, elapsed_ms = _pace(spec, state), now_ms",
            "pace, elapsed_ms = _pace(spec, replace(state, at_ms=now_ms)), now_ms",
        ),
    ),
    "a_clock_that_goes_back_is_followed": mutant(
        "LIMIT-8",
        (
            "rules.limits",
            "    if now_ms <= state.at_ms:\n        return state\n",
            "    if now_ms <= state.at_ms:\n        return replace(state, at_ms=now_ms)\n",
        ),
    ),
    "a_clock_that_goes_back_takes": mutant(
        "LIMIT-8",
        (
            "rules.limits",
            "    if now_ms <= state.at_ms:\n        return state\n",
            "    if now_ms == state.at_ms:\n        return state\n",
        ),
        (
            "rules.buckets",
            "level + min(elapsed_ms, ceiling(found.capacity - level, rate)) * rate)",
            "level + elapsed_ms * rate)",
        ),
    ),
    "a_unit_of_concurrency_comes_back_with_time": mutant(
        "LIMIT-9",
        (
            "rules.limits",
            "    pace, elapsed_ms = _pace(spec, state)",
            (
                "    if spec.concurrency and now_ms - state.at_ms >= spec.per_ms:\n"
                "        state = replace(state, running=0)\n    pace, elapsed_ms = _pace(spec, state)"
            ),
        ),
    ),
    "one_unit_more_than_the_bound_is_given": mutant(
        "LIMIT-9",
        (
            "rules.standing",
            "spec.concurrency is not None and state.running + ahead[3] >= spec.concurrency:",
            "spec.concurrency is not None and state.running + ahead[3] > spec.concurrency:",
        ),
    ),
    "concurrency_is_not_counted": mutant(
        "LIMIT-9", ("rules.limits", "running=state.running + units,", "running=state.running,")
    ),
    "a_429_pauses_nothing": mutant(
        "LIMIT-10",
        (
            "rules.limits",
            "until_ms = max(state.frozen_until_ms, min(state.at_ms + retry_after_ms, bounds.MAX_INSTANT_MS))",
            "until_ms = state.frozen_until_ms",
        ),
    ),
    "a_later_429_ends_a_pause_sooner": mutant(
        "LIMIT-10", ("rules.limits", "until_ms = max(state.frozen_until_ms, min(", "until_ms = max(0, min(")
    ),
    "a_429_teaches_nothing_of_the_level": mutant(
        "LIMIT-10", ("rules.limits", "lowered = _lowered(spec, state, tokens, retry_after_ms)", "lowered = state")
    ),
    "a_429_raises_a_level": mutant(
        "LIMIT-10",
        ("rules.limits", "return replace(state, tokens=min(state.tokens, most))", "return replace(state, tokens=most)"),
    ),
    "a_429_lowers_requests_where_tokens_are_counted": mutant(
        "LIMIT-10",
        (
            "rules.limits",
            "        return replace(state, tokens=min(state.tokens, most))\n",
            "        return replace(state, tokens=min(state.tokens, most), requests=0)\n",
        ),
    ),
    "a_429_leaves_the_pace": mutant(
        "LIMIT-10", ("rules.limits", "slower = max(LEAST_PACE, state.pace * 9 // 10)", "slower = state.pace")
    ),
    "the_pace_has_no_floor": mutant(
        "LIMIT-10", ("rules.limits", "slower = max(LEAST_PACE, state.pace * 9 // 10)", "slower = state.pace * 9 // 10")
    ),
    "every_429_of_a_pause_slows_down": mutant("LIMIT-10", ("rules.limits", "    if frozen:\n", "    if False:\n")),
    "the_pace_never_comes_back": mutant("LIMIT-10", ("rules.limits", "PACE_STEP: Final = 20", "PACE_STEP: Final = 0")),
    "the_pace_forgets_the_rest_of_a_half_minute": mutant(
        "LIMIT-10",
        (
            "rules.limits",
            "paced_at_ms=state.paced_at_ms + PACE_STEP_MS * steps,",
            "paced_at_ms=now_ms if steps else state.paced_at_ms,",
        ),
    ),
    "a_frozen_limit_admits": mutant(
        "LIMIT-10", ("rules.limits", "waits = [max(0, state.frozen_until_ms - state.at_ms)]", "waits = [0]")
    ),
    "a_429_without_a_time_pauses_for_a_second": mutant(
        "LIMIT-11", ("rules.limits", "half_ms = ceiling(count * found.sub, 2 * rate) if rate else 0", "half_ms = 0")
    ),
    "a_429_without_a_time_pauses_for_all_of_the_time": mutant(
        "LIMIT-11", ("rules.limits", "ceiling(count * found.sub, 2 * rate)", "ceiling(count * found.sub, rate)")
    ),
    "pauses_are_not_doubled": mutant("LIMIT-11", ("rules.limits", "half_ms) << min(state.strikes, 6)", "half_ms)")),
    "pauses_grow_without_a_bound": mutant(
        "LIMIT-11", ("rules.limits", "LONGEST_PAUSE_MS: Final = 60_000", "LONGEST_PAUSE_MS: Final = 10**9")
    ),
    "a_settled_call_does_not_end_a_row_of_429s": mutant(
        "LIMIT-11", ("rules.limits", "held=-part.rest, strikes=0)", "held=-part.rest)")
    ),
    "429s_that_name_a_time_count_too": mutant(
        "LIMIT-11",
        (
            "rules.limits",
            "    if retry_after_ms is None:\n        # Of calls",
            "    strikes += retry_after_ms is not None\n    if retry_after_ms is None:\n        # Of calls",
        ),
    ),
    "429s_of_calls_under_way_together_count_each": mutant(
        "LIMIT-11", ("rules.limits", "strikes = strikes if frozen else strikes + 1", "strikes = strikes + 1")
    ),
    "what_the_provider_says_is_left_raises_a_level": mutant(
        "LIMIT-12",
        (
            "rules.limits",
            "tokens = min(tokens, remaining.tokens * _tokens(spec).sub)",
            "tokens = remaining.tokens * _tokens(spec).sub",
        ),
    ),
    "what_the_provider_says_is_left_is_not_heard": mutant(
        "LIMIT-12", ("rules.closing", "    for remaining in told.remaining:\n", "    for remaining in ():\n")
    ),
    "what_the_provider_says_of_requests_is_not_heard": mutant(
        "LIMIT-12",
        ("rules.limits", "    if spec.requests is not None and remaining.requests is not None:", "    if False:"),
    ),
    "a_lowered_concurrency_forgets_who_runs": mutant(
        "LIMIT-13",
        (
            "rules.limits",
            "        held=held,\n    )\n\n\ndef status",
            (
                "        held=held,\n        running=min(state.running, (new.concurrency or 1) - 1),\n"
                "    )\n\n\ndef status"
            ),
        ),
    ),
    "a_tenant_that_is_refused_by_its_provider_pauses_all": mutant(
        "LIMIT-14",
        (
            "rules.closing",
            "return Throttle(limit=part.limit, key=part.key,",
            "return Throttle(limit=part.limit, key='',",
        ),
        (
            "rules.closing",
            "    books.put_limit_state(spec.name, key, state)\n\n\ndef _unreserved",
            "    books.put_limit_state(spec.name, '', state)\n\n\ndef _unreserved",
        ),
    ),
    "a_deferral_pauses_the_part_of_nobody": mutant(
        "LIMIT-14", ("settle", "throttle(books, one, record)", "throttle(books, one)")
    ),
    "tenants_share_what_each_should_have": mutant(
        "LIMIT-15",
        (
            "rules.standing",
            "        return record.tenant or None\n",
            '        return "" if record.tenant else None\n',
        ),
    ),
    "a_tenant_that_is_refused_stops_the_pool": mutant(
        "LIMIT-15",
        (
            "rules.dispatch",
            "elif isinstance(found, Blocked) and found.by is None:\n                self._park_pool",
            "elif isinstance(found, Blocked) and found.by != 'key':\n                self._park_pool",
        ),
    ),
    "a_tenant_that_is_refused_never_comes_back": mutant(
        "LIMIT-15",
        ("lanes", "        for key in lines:\n            self.wake_line(key)\n", ""),
    ),
    "what_a_tenant_gives_back_wakes_nobody": mutant(
        "LIMIT-15", ("lanes", "        for line in lines:\n            self.wake_line(line)\n", "")
    ),
    "a_job_without_a_key_is_bound_by_a_limit_by_key": mutant(
        "LIMIT-16",
        (
            "rules.standing",
            'return record.key if spec.by == "key" else ""',
            'return record.key or "" if spec.by == "key" else ""',
        ),
    ),
    "keys_share_what_each_should_have": mutant(
        "LIMIT-16",
        (
            "rules.standing",
            'return record.key if spec.by == "key" else ""',
            'return "k" if record.key and spec.by == "key" else ""',
        ),
    ),
    "a_job_whose_key_is_taken_stops_its_line": mutant(
        "LIMIT-16",
        ("rules.dispatch", 'elif found.by == "tenant":', "else:"),
        (
            "rules.dispatch",
            "        else:\n            self._yard.set_aside(record, found.limit, found.key, self._wake_ms(found))\n",
            "",
        ),
    ),
    "a_job_aside_comes_back_behind_the_others": mutant(
        "LIMIT-16",
        (
            "lanes",
            "        self._enter((pool, band, tenant), place)\n\n    def is_parked",
            "        self._enter((pool, band, tenant), (1, 10**9, place[2]))\n\n    def is_parked",
        ),
    ),
    "a_freed_key_lets_nobody_in": mutant(
        "LIMIT-16", ("lanes", "            self.shut.park(gate, _AT_ONCE_MS, limit, key)\n", "            pass\n")
    ),
    "a_gate_never_opens_by_time": mutant(
        "LIMIT-16", ("lanes", "        self._open_gates(gates)\n        wakes.pools", "        wakes.pools")
    ),
    "a_job_that_a_second_limit_keeps_aside_keeps_the_first_one_shut": mutant(
        "LIMIT-16", ("lanes", "        self._let_follow(record, line, gate)\n", "")
    ),
    "a_job_without_a_tenant_is_bound_by_a_limit_by_tenant": mutant(
        "LIMIT-15", ("rules.standing", "return record.tenant or None", "return record.tenant")
    ),
    "a_limit_by_tenant_keeps_aside_what_does_not_take_it": mutant(
        "LIMIT-15",
        (
            "rules.fairness",
            'return spec.by is None or (spec.by == "tenant" and record.tenant != "")',
            "return spec.by is None",
        ),
    ),
}
