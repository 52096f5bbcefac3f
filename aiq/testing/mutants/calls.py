"""Faults of chapter 10, what is taken: reservations, calls, and the line in which they wait."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "a_call_takes_of_some_limits_when_others_refuse": mutant(
        "CALL-1",
        (
            "rules.planning",
            "        books.put_limit_state(one.bound.spec.name, one.bound.key, one.state)\n",
            (
                "        (spec, key), state = one.bound, one.state\n"
                "        if not limits.wait_ms(spec, state, one.part):\n"
                "            state = limits.taken(spec, state, one.part)\n"
                "        books.put_limit_state(spec.name, key, state)\n"
            ),
        ),
    ),
    "a_call_takes_no_request": mutant(
        "CALL-1", ("rules.charging", "requests=1, charge=charge, rest=", "requests=0, charge=charge, rest=")
    ),
    "a_stream_is_charged_like_a_reservation": mutant(
        "CALL-1",
        (
            "rules.charging",
            "return taken, min(_weighed(need.output, spec.weights, OUTPUT), most)",
            "return taken + most, 0",
        ),
    ),
    "a_stream_holds_the_most_output": mutant(
        "CALL-1",
        (
            "rules.charging",
            "return taken, min(_weighed(need.output, spec.weights, OUTPUT), most)",
            "return taken, most",
        ),
    ),
    "a_stream_holds_more_than_the_most_output": mutant(
        "CALL-1",
        (
            "rules.charging",
            "return taken, min(_weighed(need.output, spec.weights, OUTPUT), most)",
            "return taken, _weighed(need.output, spec.weights, OUTPUT)",
        ),
    ),
    "a_reservation_leaves_out_the_output": mutant(
        "CALL-1", ("rules.charging", "return taken + most, 0", "return taken, 0")
    ),
    "the_larger_is_the_sum": mutant(
        "CALL-1", ("rules.charging", "return max(taken, most), 0", "return taken + most, 0")
    ),
    "weights_are_ignored": mutant(
        "CALL-1 CALL-9", ("rules.charging", "count * weights.get(name, 1000) // 1000", "count")
    ),
    "weights_are_rounded_up": mutant(
        "CALL-1",
        (
            "rules.charging",
            "return count * weights.get(category, 1000) // 1000",
            "return -(-count * weights.get(category, 1000) // 1000)",
        ),
    ),
    "weights_are_rounded_up_in_the_end": mutant(
        "CALL-9",
        (
            "rules.charging",
            "count * weights.get(name, 1000) // 1000 for",
            "-(-count * weights.get(name, 1000) // 1000) for",
        ),
    ),
    "a_claim_reserves_nothing": mutant(
        "CALL-2", ("rules.planning", "    if not ask.bound and not chain:\n", "    if True:\n")
    ),
    "a_claim_reserves_for_the_first_route_only": mutant(
        "ROUTE-1",
        (
            "rules.standing",
            "names = record.taken_limits\n",
            "names = record.routes[0].limits if record.routes else record.limits\n",
        ),
    ),
    "a_first_call_takes_on_top_of_what_was_reserved": mutant(
        "CALL-3", ("rules.calls", "return first if not taken or taken.issuperset(names) else None", "return None")
    ),
    "every_call_adopts": mutant(
        "CALL-3",
        (
            "rules.calls",
            "            cost=0,\n        )\n    )\n\n\ndef _give_back",
            "            cost=1,\n        )\n    )\n\n\ndef _give_back",
        ),
    ),
    "a_first_call_that_asks_for_less_returns_nothing": mutant(
        "CALL-3", ("rules.calls", "limits.returned(spec, state, _more(own, part))", "state")
    ),
    "a_first_call_that_asks_for_more_takes_nothing": mutant(
        "CALL-3",
        (
            "rules.calls",
            "return limits.taken(spec, limits.returned(spec, state, _more(own, part)), _more(part, own))",
            "return limits.returned(spec, state, _more(own, part))",
        ),
    ),
    "a_first_call_keeps_what_call_0_held_elsewhere": mutant(
        "CALL-3",
        (
            "rules.calls",
            "        if (part.limit, part.key) not in adopted:\n            _give_back",
            "        if False:\n            _give_back",
        ),
    ),
    "a_first_call_on_other_limits_adopts": mutant(
        "CALL-3", ("rules.calls", "return first if not taken or taken.issuperset(names) else None", "return first")
    ),
    "a_first_call_waits_behind_others_for_what_it_has": mutant(
        "CALL-3",
        (
            "rules.calls",
            "    return max(0, state.frozen_until_ms - state.at_ms)\n",
            "    return standing.wait_ms(books, bound, limits.returned(bound.spec, state, own), part, unit, line)\n",
        ),
    ),
    "a_first_call_draws_twice": mutant(
        "CALL-3",
        (
            "rules.calls",
            "fit = drawing.fit(books, chain, drawing.want(books, need), first.draws if first else ())",
            "fit = drawing.fit(books, chain, drawing.want(books, need), ())",
        ),
    ),
    "a_first_call_does_not_know_its_jobs_estimate": mutant(
        "CALL-3",
        (
            "rules.calls",
            "estimate = request.estimate if first is None else _filled(request.estimate, record.estimate)",
            "estimate = request.estimate",
        ),
    ),
    "each_call_takes_a_unit_of_its_own": mutant(
        "CALL-4", ("rules.calls", "return sum(call != FIRST for call, _ in found) >= units", "return True")
    ),
    "further_calls_take_no_unit": mutant(
        "CALL-4", ("rules.calls", "return sum(call != FIRST for call, _ in found) >= units", "return not units")
    ),
    "the_unit_goes_with_the_first_call_that_ends": mutant(
        "CALL-4",
        (
            "rules.accounting",
            "        if not part.slot:\n            _release_another",
            "        if True:\n            _release_another",
        ),
    ),
    "units_stay_when_calls_end": mutant("CALL-4", ("rules.closing", "        pass_units_on(books, found)\n", "")),
    "calls_that_wait_stand_in_no_line": mutant(
        "CALL-5", ("rules.standing", "ahead = _sum(bound, calls) if calls else NOBODY", "ahead = NOBODY")
    ),
    "calls_wait_in_the_order_in_which_they_last_asked": mutant(
        "CALL-5",
        (
            "rules.calls",
            "number=books.next_waiting_number() if place is None else place,",
            "number=books.next_waiting_number(),",
        ),
    ),
    "bands_of_calls_are_ignored": mutant(
        "CALL-5",
        ("rules.standing", "if (call.band, call.number) < (band, number)]", "if call.number < number]"),
        (
            "rules.standing",
            "        return [call for call in calls if call.band <= band]\n",
            "        return [call for call in calls if number is None or call.band <= band]\n",
        ),
    ),
    "jobs_pass_calls_that_wait": mutant(
        "CALL-5",
        ("rules.planning", "calls = standing.before(calls, record.band, None) if calls else ()", "calls = ()"),
    ),
    "more_urgent_jobs_wait_for_calls_too": mutant(
        "CALL-5",
        (
            "rules.planning",
            "calls = standing.before(calls, record.band, None) if calls else ()",
            "calls = list(calls)",
        ),
    ),
    "a_call_that_waits_stands_in_one_line_only": mutant(
        "CALL-5",
        (
            "rules.calls",
            "            limits=needs,\n",
            (
                "            limits={place: need for place, need in needs.items() if place[0] == "
                "worst.bound.spec.name},\n"
            ),
        ),
    ),
    "units_are_not_kept_for_calls_that_wait": mutant(
        "CALL-5",
        ("rules.standing", "state.running + ahead[3] >= spec.concurrency:", "state.running >= spec.concurrency:"),
    ),
    "a_call_is_told_its_own_wait_alone": mutant(
        "CALL-6",
        ("rules.limits", "lack = (ahead[1] + ahead[2]) * found.sub + own - state.tokens", "lack = own - state.tokens"),
    ),
    "a_place_is_kept_for_ever": mutant(
        "CALL-6",
        ("books", "return runs and self.now_ms <= call.asked_at_ms + PLACE_KEPT_MS", "return runs"),
        (
            "rules.calls",
            "if call is None or books.now_ms - call.asked_at_ms > bounds.PLACE_KEPT_MS:",
            "if call is None:",
        ),
    ),
    "a_place_is_lost_a_ms_too_soon": mutant(
        "CALL-6",
        ("books", "self.now_ms <= call.asked_at_ms + PLACE_KEPT_MS", "self.now_ms < call.asked_at_ms + PLACE_KEPT_MS"),
    ),
    "a_lost_place_is_found_again": mutant(
        "CALL-6",
        (
            "rules.calls",
            "if call is None or books.now_ms - call.asked_at_ms > bounds.PLACE_KEPT_MS:",
            "if call is None:",
        ),
    ),
    "a_place_outlives_its_run": mutant(
        "CALL-6",
        ("books", "runs = record.state is State.RUNNING and record.fence == call.fence", "runs = True"),
        (
            "rules.closing",
            "        calls.leave_line(books, record.id, record.fence)\n        unused",
            "        unused",
        ),
        ("rules.closing", "    calls.leave_line(books, record.id, record.fence)\n    for found", "    for found"),
    ),
    "who_waits_for_a_limit_is_not_told": mutant(
        "CALL-6", ("books", "            self._tx.topics.add(limit_topic(name))\n", "            pass\n")
    ),
    "a_call_asked_for_again_takes_again": mutant(
        "CALL-7",
        (
            "rules.booking",
            "    if known is not None:\n        return _admitted(known.need)",
            "    if False:\n        return _admitted(known.need)",
        ),
    ),
    "calls_are_known_by_number_alone": mutant(
        "CALL-7",
        (
            "rules.booking",
            "books.reservation(record.id, record.fence, request.number)",
            (
                "next((r for f in range(record.fence + 1) if (r := books.reservation(record.id, f, "
                "request.number))), None)"
            ),
        ),
    ),
    "a_closed_call_opens_again": mutant(
        "CALL-7",
        (
            "rules.booking",
            "    if known is not None:\n        return _admitted(known.need)",
            "    if known is not None and known.closed_at_ms is None:\n        return _admitted(known.need)",
        ),
    ),
    "a_call_opens_without_a_lease": mutant(
        "CALL-8", ("acquire", "record = held_live(tx, call.lease)", "record = tx.tables.jobs[call.lease.job_id]")
    ),
    "a_call_opens_on_an_expired_lease": mutant(
        "CALL-8",
        ("acquire", "record = held_live(tx, call.lease)", "record = held(tx, call.lease)"),
        ("acquire", "import held_live", "import held"),
    ),
}
