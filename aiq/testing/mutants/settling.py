"""Faults of chapter 10, what comes back: how calls settle, how runs end, sizes, and deferrals."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "a_settlement_leaves_what_is_held": mutant(
        "CALL-9 CALL-15", ("rules.limits", "held=-part.rest, strikes=0)", "strikes=0)")
    ),
    "a_settlement_takes_no_more_than_the_charge": mutant(
        "CALL-9",
        (
            "rules.limits",
            "return used - charged if spec.refund else max(0, used - charged)",
            "return min(0, used - charged) if spec.refund else 0",
        ),
    ),
    "every_limit_refunds": mutant(
        "CALL-9",
        ("rules.limits", "return used - charged if spec.refund else max(0, used - charged)", "return used - charged"),
    ),
    "no_limit_refunds": mutant(
        "CALL-9",
        (
            "rules.limits",
            "return used - charged if spec.refund else max(0, used - charged)",
            "return max(0, used - charged)",
        ),
    ),
    "a_refund_overfills": mutant(
        "CALL-9",
        ("rules.buckets", "    if level > found.capacity:\n        return found.capacity\n", ""),
        (
            "rules.buckets",
            "    if level >= found.capacity:\n        return found.capacity\n",
            "    if level >= found.capacity:\n        return level\n",
        ),
    ),
    "a_limit_of_input_counts_output": mutant(
        "CALL-9", ("rules.charging", "    if spec.charge is Charge.INPUT:\n", "    if False:\n")
    ),
    "only_the_first_model_counts": mutant(
        "CALL-9", ("rules.charging", "    for usage in used:\n", "    for usage in used[:1]:\n")
    ),
    "use_so_far_is_taken_and_held": mutant(
        "CALL-10",
        (
            "rules.limits",
            "state = _moved(spec, state, tokens=-more, held=-moved)",
            "state = _moved(spec, state, tokens=-more)",
        ),
        (
            "rules.limits",
            "return state, replace(part, charge=used, rest=part.rest - moved)",
            "return state, replace(part, charge=used)",
        ),
    ),
    "use_so_far_is_taken_each_time": mutant(
        "CALL-10",
        ("rules.closing", "    if used == found.used:\n        return\n    account", "    account"),
        (
            "rules.limits",
            "return state, replace(part, charge=used, rest=part.rest - moved)",
            "return state, replace(part, rest=part.rest - moved)",
        ),
    ),
    "use_so_far_takes_no_more_than_was_held": mutant(
        "CALL-10",
        (
            "rules.limits",
            "    more = used - part.charge\n    if",
            "    more = min(used - part.charge, part.rest)\n    if",
        ),
    ),
    "use_so_far_gives_back": mutant(
        "CALL-10",
        (
            "rules.limits",
            "    if more <= 0:\n        return state, part\n",
            "    if more == 0:\n        return state, part\n",
        ),
    ),
    "a_call_that_was_not_sent_keeps_its_request": mutant(
        "CALL-11", ("rules.accounting", "kept = how is CallState.THROTTLED or", "kept = True or")
    ),
    "a_call_that_was_refused_gives_back_its_request": mutant(
        "CALL-11", ("rules.accounting", "kept = how is CallState.THROTTLED or", "kept = False or")
    ),
    "a_call_that_was_not_sent_keeps_its_tokens": mutant(
        "CALL-11",
        (
            "rules.limits",
            "return _moved(spec, state, requests=part.requests, tokens=part.charge, held=-part.rest)",
            "return _moved(spec, state, requests=part.requests, held=-part.rest)",
        ),
    ),
    "a_call_that_used_something_can_be_unsent": mutant(
        "CALL-11",
        (
            "rules.closing",
            "    how = CallState.SETTLED if told.state is CallState.UNSENT and sent else told.state\n    if how",
            "    how, used = told.state, used if told.state is not CallState.UNSENT else ()\n    if how",
        ),
    ),
    "a_refused_call_pauses_nothing": mutant(
        "CALL-11", ("rules.closing", "    if told.state is CallState.THROTTLED:\n", "    if False:\n")
    ),
    "call_0_is_always_given_back": mutant(
        "CALL-12",
        (
            "rules.closing",
            "unused = record.opened_calls or isinstance(outcome, Released | Deferred | Held)",
            "unused = True",
        ),
    ),
    "call_0_is_never_given_back": mutant(
        "CALL-12",
        (
            "rules.closing",
            "unused = record.opened_calls or isinstance(outcome, Released | Deferred | Held)",
            "unused = False",
        ),
    ),
    "call_0_of_a_run_that_opens_calls_is_charged": mutant(
        "CALL-12", ("rules.closing", "unused = record.opened_calls or isinstance(", "unused = isinstance(")
    ),
    "call_0_of_a_run_that_was_given_back_is_charged": mutant(
        "CALL-12",
        (
            "rules.closing",
            "unused = record.opened_calls or isinstance(outcome, Released | Deferred | Held)",
            "unused = record.opened_calls",
        ),
    ),
    "what_call_0_reported_is_given_back": mutant(
        "CALL-12",
        ("rules.closing", "found.call == FIRST and unused and not found.used", "found.call == FIRST and unused"),
        (
            "rules.closing",
            "_close_alike(books, same, same[0].found.used)",
            "_close_alike(books, same, () if same[0].how is CallState.UNSENT else same[0].found.used)",
        ),
    ),
    "open_calls_are_given_back_at_the_end": mutant(
        "CALL-12",
        ("rules.closing", "unsent = found.call == FIRST and unused and not found.used", "unsent = not found.used"),
    ),
    "open_calls_outlive_their_run": mutant(
        "CALL-12",
        (
            "rules.closing",
            "        unsent = found.call == FIRST and unused",
            "        if found.call != FIRST:\n            continue\n        unsent = found.call == FIRST and unused",
        ),
    ),
    "a_lost_run_gives_everything_back": mutant(
        "CALL-13",
        (
            "rules.closing",
            "_close(books, record, found, CallState.EXPIRED, found.used)",
            "_close(books, record, found, CallState.UNSENT, found.used)",
        ),
    ),
    "a_lost_run_keeps_what_it_holds": mutant(
        "CALL-13",
        (
            "rules.limits",
            "return _moved(spec, state, tokens=-part.rest, held=-part.rest)",
            "return _moved(spec, state, tokens=-part.rest)",
        ),
    ),
    "what_a_lost_run_held_is_not_charged": mutant(
        "CALL-13",
        (
            "rules.limits",
            "return _moved(spec, state, tokens=-part.rest, held=-part.rest)",
            "return _moved(spec, state, held=-part.rest)",
        ),
    ),
    "a_lost_run_keeps_its_unit": mutant(
        "CALL-13 CALL-15",
        (
            "rules.accounting",
            "    if part.slot and units:\n",
            "    if part.slot and units and how is not CallState.EXPIRED:\n",
        ),
    ),
    "an_expired_lease_leaves_its_reservations": mutant(
        "CALL-13", ("sweeps", "    revoke_run(MemoryBooks(tx), record)\n    change", "    change")
    ),
    "the_end_of_a_grace_leaves_its_reservations": mutant(
        "CALL-13",
        (
            "sweeps",
            "    revoke_run(MemoryBooks(tx), record)\n    after = replace(record, state=change",
            "    after = replace(record, state=change",
        ),
    ),
    "a_late_settlement_corrects_nothing": mutant(
        "CALL-13",
        (
            "rules.closing",
            "        _correct(books, record, found, told)\n        return Reported(late=True)",
            "        return Reported(late=True)",
        ),
    ),
    "a_late_settlement_corrects_each_time": mutant(
        "CALL-13",
        (
            "rules.closing",
            "return found.state is CallState.EXPIRED or (found.state is CallState.SETTLED and not found.used)",
            "return True",
        ),
    ),
    "a_late_settlement_refunds_where_the_limit_does_not": mutant(
        "CALL-13",
        (
            "rules.limits",
            "return _moved(spec, state, tokens=-_owed(spec, assumed, used))",
            "return _moved(spec, state, tokens=assumed - used)",
        ),
    ),
    "a_late_settlement_opens_a_reservation": mutant(
        "CALL-13",
        (
            "rules.closing",
            (
                "        if found is None:\n            return lost(record, lease) or "
                "LeaseLost(lease.job_id, LostReason.TAKEN)\n"
            ),
            (
                "        if found is None:\n            if record is None:\n"
                "                return LeaseLost(lease.job_id, LostReason.TAKEN)\n"
                "            found = _unreserved(books, record, told)\n"
                "            if found is not None:\n                _heard(books, record, found, told)\n"
                "            return Reported(late=True)\n"
            ),
        ),
    ),
    "a_reservation_is_corrected_for_ever": mutant(
        "CALL-13",
        ("books", "return found if self.now_ms < found.closed_at_ms + RESERVATION_KEPT_MS else None", "return found"),
        ("forgetting", "    for key in accounts.closed.until(_since_ms(tx))[:limit]:\n", "    for key in ():\n"),
    ),
    "a_reservation_is_forgotten_at_once": mutant(
        "CALL-13",
        ("books", "return found if self.now_ms < found.closed_at_ms + RESERVATION_KEPT_MS else None", "return None"),
    ),
    "a_run_whose_lease_has_run_out_reports_late": mutant(
        "CALL-13",
        (
            "report",
            "current = lost(record, told.lease) is None",
            "current = lost(record, told.lease) is None and (record.expires_at_ms or 0) > tx.now_ms",
        ),
    ),
    "a_call_is_closed_twice": mutant(
        "CALL-14",
        (
            "rules.closing",
            "found.state is CallState.OPEN:\n        _heard",
            "found.state in (CallState.OPEN, CallState.SETTLED):\n        _heard",
        ),
    ),
    "a_call_that_was_unsent_is_settled_later": mutant(
        "CALL-14",
        (
            "rules.closing",
            "return found.state is CallState.EXPIRED or (found.state is CallState.SETTLED and not found.used)",
            "return not found.used",
        ),
    ),
    "a_run_that_goes_on_reserves_anew": mutant(
        "CALL-16", ("rules.planning", "return record.resumes and record.opened_calls", "return False")
    ),
    "a_job_that_calls_no_model_is_charged_what_is_usual": mutant(
        "USAGE-4", ("rules.usage", "need if reserved and not ended else", "need if reserved else")
    ),
    "a_job_that_calls_no_model_takes_nothing_of_its_limits": mutant(
        "CALL-12",
        (
            "rules.usage",
            "charged = counted if need is reservation.need else standing(how, (), reservation.need)[0]",
            "charged = counted",
        ),
    ),
    "a_run_that_goes_on_reserves_nothing_at_all": mutant(
        "CALL-16",
        (
            "rules.planning",
            "return takings if isinstance(takings, Blocked) else Plan(Need(model=record.model), takings, cost=0)",
            "return FREE",
        ),
    ),
    "a_run_that_goes_on_reserves_nothing_though_it_opened_no_call": mutant(
        "CALL-16", ("rules.planning", "return record.resumes and record.opened_calls", "return record.resumes")
    ),
    "every_further_run_reserves_units_only": mutant(
        "CALL-16", ("rules.planning", "return record.resumes and record.opened_calls", "return record.opened_calls")
    ),
    "a_run_that_goes_on_waits_for_a_debt": mutant(
        "CALL-16", ("rules.limits", "    if not (part.requests or part.charge or part.rest):\n", "    if False:\n")
    ),
    "what_never_fits_is_enqueued": mutant(
        "CALL-17", ("rules.booking", "        if limits.never_fits(spec, part):\n", "        if False:\n")
    ),
    "what_fits_a_period_is_refused": mutant(
        "CALL-17",
        (
            "rules.charging",
            "return max(scale(tokens, spec.per_ms, spec.burst_ms).whole, tokens)",
            "return scale(tokens, spec.per_ms, spec.burst_ms).whole",
        ),
    ),
    "what_fits_a_burst_is_refused": mutant(
        "CALL-17",
        ("rules.charging", "return max(scale(tokens, spec.per_ms, spec.burst_ms).whole, tokens)", "return tokens"),
    ),
    "the_size_of_the_first_route_alone_counts": mutant(
        "CALL-17 CALL-18", ("rules.booking", "    for names, model in ways:\n", "    for names, model in ways[:1]:\n")
    ),
    "what_never_fits_waits_at_a_claim": mutant(
        "CALL-17",
        ("rules.planning", "    if not need.declared:\n        return None\n    for", "    return None\n    for"),
    ),
    "a_guess_is_held_for_its_size": mutant(
        "CALL-17",
        ("rules.charging", "    if not need.declared:\n", "    if False:\n"),
        ("rules.planning", "    if not need.declared:\n        return None\n    for", "    for"),
    ),
    "an_unknown_limit_is_ignored": mutant(
        "CALL-18",
        (
            "rules.booking",
            "    if spec is None:\n        raise UnknownLimit(name, books.limit_names())\n",
            "    if spec is None:\n        return\n",
        ),
        ("rules.calls", "    if missing is not None:\n", "    if False:\n"),
    ),
    "a_deferral_is_a_failure": mutant(
        "DEFER-1",
        (
            "rules.settling",
            "return _timed(number, outcome.delay_ms, Lane.RETURNED, record.failures, record.stalls)",
            "return _timed(number, outcome.delay_ms, Lane.RETURNED, record.failures + 1, record.stalls)",
        ),
    ),
    "a_deferred_job_comes_back_behind_the_others": mutant(
        "DEFER-1",
        (
            "rules.settling",
            "return _timed(number, outcome.delay_ms, Lane.RETURNED, record.failures, record.stalls)",
            "return _timed(number, outcome.delay_ms, Lane.FRESH, record.failures, record.stalls)",
        ),
    ),
    "a_deferral_pauses_nothing": mutant(
        "DEFER-1", ("settle", "        for one in outcome.throttles:\n", "        for one in ():\n")
    ),
    "a_deferral_is_not_written_down": mutant(
        "DEFER-1", ("settle", "_TELLS = Retried | Died | Deferred", "_TELLS = Retried | Died")
    ),
    "a_job_is_deferred_for_ever": mutant(
        "DEFER-2", ("rules.settling", "    if now_ms - since_ms >= record.max_deferral_ms:\n", "    if False:\n")
    ),
    "a_job_is_deferred_once_too_often": mutant(
        "DEFER-2",
        ("rules.settling", "now_ms - since_ms >= record.max_deferral_ms", "now_ms - since_ms > record.max_deferral_ms"),
    ),
    "each_deferral_begins_the_time_anew": mutant(
        "DEFER-2",
        (
            "rules.routes",
            "            since_ms = now_ms if record.deferred_at_ms is None else record.deferred_at_ms\n",
            "            since_ms = now_ms\n",
        ),
    ),
    "a_settled_call_does_not_end_the_row_of_deferrals": mutant(
        "DEFER-2", ("report", "tx.tables.put(replace(record, deferred_at_ms=None))", "pass")
    ),
    "a_refused_call_ends_the_row_of_deferrals": mutant(
        "DEFER-2",
        (
            "report",
            "used = told.state is CallState.SETTLED and any(usage.tokens for usage in told.used)",
            "used = told.state is not CallState.OPEN",
        ),
    ),
    "a_job_that_was_deferred_too_long_died_of_its_handler": mutant(
        "DEFER-2", ("rules.settling", "        cause = Cause.RATE_LIMITED\n", "        cause = outcome.error.cause\n")
    ),
    "a_closed_route_waits_for_its_time": mutant(
        "DEFER-3",
        (
            "rules.settling",
            '    return _timed("T8", 0, Lane.RETURNED, record.failures, record.stalls)',
            '    return _timed("T20", outcome.delay_ms, Lane.RETURNED, record.failures, record.stalls)',
        ),
    ),
    "a_closed_route_without_another_is_taken_again": mutant(
        "DEFER-3",
        (
            "rules.settling",
            "    if next_route(record, record.closed_routes | 1 << record.route) is None:\n",
            "    if False:\n",
        ),
    ),
    "a_closed_route_is_not_left": mutant(
        "DEFER-3",
        (
            "rules.routes",
            (
                "            closed |= 1 << route\n            onward = next_route(record, closed)\n"
                "            return Course(route if onward is None else onward, closed)"
            ),
            "            closed |= 1 << route\n            return Course(route, closed)",
        ),
    ),
}
