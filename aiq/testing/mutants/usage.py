"""Faults of chapter 13: what is counted as used, what it costs, and what is learned of it."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "use_is_counted_with_each_report": mutant(
        "USAGE-1",
        (
            "rules.closing",
            (
                "    usage.count(books, record, found.job_id, usage.lines(books, found, found.used), "
                "account.lines)\n    parts = tuple([part_so_far"
            ),
            "    usage.count(books, record, found.job_id, {}, account.lines)\n    parts = tuple([part_so_far",
        ),
    ),
    "what_was_reported_is_counted_again_at_the_end": mutant(
        "USAGE-1",
        (
            "rules.closing",
            "    before = usage.lines(books, first, first.used)\n",
            "    before = usage.lines(books, first, ())\n",
        ),
    ),
    "use_is_counted_for_the_flow_only": mutant(
        "USAGE-1", ("books", 'for scope in (("job", owner.job_id), ', "for scope in (")
    ),
    "use_of_a_tenant_is_not_told_apart": mutant(
        "USAGE-1", ("rules.usage", 'tenant=record.tenant if record else "",', 'tenant="",')
    ),
    "use_of_a_flow_is_not_told_apart": mutant(
        "USAGE-1", ("rules.usage", "flow=record.flow if record else None,", "flow=None,")
    ),
    "use_is_counted_by_the_hour": mutant("USAGE-1", ("rules.usage", "MINUTE_MS = 60_000", "MINUTE_MS = 3_600_000")),
    "categories_are_thrown_together": mutant(
        "USAGE-1", ("books", "key = (owner.minute_ms, model, category)", 'key = (owner.minute_ms, model, "input")')
    ),
    "a_call_without_a_reservation_uses_nothing": mutant(
        "USAGE-1",
        ("rules.closing", "    if not told.used:\n        return None\n    model", "    return None\n    model"),
    ),
    "reports_are_added_up": mutant(
        "USAGE-2",
        (
            "rules.usage",
            "tokens[category] = max(count, tokens.get(category, 0))",
            "tokens[category] = count + tokens.get(category, 0)",
        ),
    ),
    "the_last_report_counts_though_it_says_less": mutant(
        "USAGE-2", ("rules.usage", "tokens[category] = max(count, tokens.get(category, 0))", "tokens[category] = count")
    ),
    "a_failed_run_has_used_nothing": mutant(
        "USAGE-3",
        (
            "rules.closing",
            "unsent = found.call == FIRST and unused and not found.used",
            "unsent = False",
        ),
        (
            "rules.closing",
            "_close_alike(books, same, same[0].found.used)",
            "_close_alike(books, same, same[0].found.used if isinstance(outcome, Released) else ())",
        ),
    ),
    "an_estimate_is_not_counted": mutant(
        "USAGE-4 CALL-12", ("rules.usage", "    return expected(need), True\n", "    return (), True\n")
    ),
    "an_estimate_is_counted_as_if_reported": mutant(
        "USAGE-4",
        (
            "rules.usage",
            "line = Counted(tokens, usd_micros - paid, unpriced, tokens if estimated else 0)",
            "line = Counted(tokens, usd_micros - paid, unpriced, 0)",
        ),
    ),
    "a_report_comes_on_top_of_an_estimate": mutant(
        "USAGE-4",
        (
            "rules.closing",
            (
                "    usage.count(books, record, found.job_id, usage.lines(books, found, before, "
                "estimated=guessed), account.lines)\n"
            ),
            "    usage.count(books, record, found.job_id, {}, account.lines)\n",
        ),
    ),
    "an_estimate_stands_for_ever": mutant(
        "USAGE-4",
        (
            "rules.closing",
            "return found.state is CallState.EXPIRED or (found.state is CallState.SETTLED and not found.used)",
            "return found.state is CallState.EXPIRED",
        ),
    ),
    "costs_are_rounded_down": mutant(
        "USAGE-5",
        (
            "rules.prices",
            "sums.append(min(bounds.MAX_MONEY, ceiling(total, _MILLION)))",
            "sums.append(min(bounds.MAX_MONEY, total // _MILLION))",
        ),
    ),
    "each_category_is_rounded_for_itself": mutant(
        "USAGE-5",
        (
            "rules.prices",
            "        total += count * _price_of(category, prices)\n",
            "        total += ceiling(count * _price_of(category, prices), _MILLION) * _MILLION\n",
        ),
    ),
    "each_report_is_rounded_for_itself": mutant(
        "USAGE-5",
        (
            "rules.usage",
            "line = Counted(tokens, usd_micros - paid,",
            "line = Counted(tokens, prices.cost({category: tokens}, charged)[0],",
        ),
    ),
    "a_call_costs_what_it_would_now": mutant(
        "USAGE-6",
        (
            "rules.usage",
            (
                "    if model == reservation.need.model:\n        return reservation.prices\n"
                "    return drawing.prices_of(books, model, reservation.opened_at_ms)"
            ),
            "    return drawing.prices_of(books, model, books.now_ms)",
        ),
    ),
    "a_call_that_adopts_keeps_the_prices_of_the_claim": mutant(
        "USAGE-6",
        ("rules.calls", "        prices=found.prices,\n", "        prices=first.prices if first else found.prices,\n"),
    ),
    "the_oldest_price_holds": mutant(
        "USAGE-7",
        (
            "rules.prices",
            "key=lambda row: (row.category, row.from_ms))",
            "key=lambda row: (row.category, -row.from_ms))",
        ),
    ),
    "prices_hold_before_they_begin": mutant(
        "USAGE-7", ("rules.prices", "(row for row in rows if row.from_ms <= now_ms)", "(row for row in rows)")
    ),
    "a_price_begins_a_ms_late": mutant(
        "USAGE-7", ("rules.prices", "if row.from_ms <= now_ms)", "if row.from_ms < now_ms)")
    ),
    "the_first_price_of_an_instant_stands": mutant(
        "USAGE-7",
        (
            "put_prices",
            "            stored[row.model][row.category, row.from_ms] = row\n",
            "            stored[row.model].setdefault((row.category, row.from_ms), row)\n",
        ),
    ),
    "absent_prices_fill_up_a_model": mutant(
        "USAGE-7", ("put_prices", "left_alone = set(stored) if absent_only else set()", "left_alone = set()")
    ),
    "a_price_below_zero_is_accepted": mutant("USAGE-7", ("put_prices", "        check_price(row)\n", "        pass\n")),
    "rows_of_use_come_as_they_were_written": mutant(
        "USAGE-8", ("usage", "    places = sorted(place for place", "    places = list(place for place")
    ),
    "a_page_of_use_begins_with_the_last_row_of_the_one_before": mutant(
        "USAGE-8", ("usage", "(after is None or place > after))", "(after is None or place >= after))")
    ),
    "a_report_of_use_takes_in_the_minute_in_which_it_ends": mutant(
        "USAGE-8", ("usage", "place[0] < query.until_ms", "place[0] <= query.until_ms")
    ),
    "a_report_of_use_leaves_out_the_minute_in_which_it_begins": mutant(
        "USAGE-8", ("usage", "place[0] < query.since_ms", "place[0] <= query.since_ms")
    ),
    "a_report_of_use_is_of_all": mutant(
        "USAGE-8",
        (
            "rules.paging",
            '    return ("all", "") if query.tenant is None else ("tenant", query.tenant)',
            '    return "all", ""',
        ),
    ),
    "a_report_of_use_asks_for_anything": mutant("USAGE-8", ("usage", "    check_usage_filter(query)\n", "")),
    "what_has_no_price_costs_nothing": mutant(
        "USAGE-9", ("rules.prices", "return max(prices.values()) if price is None", "return 0 if price is None")
    ),
    "what_has_no_price_is_not_told": mutant(
        "USAGE-9", ("rules.usage", "unpriced = 0 if category in charged else tokens", "unpriced = 0")
    ),
    "what_nobody_declared_is_nothing": mutant(
        "EST-1", ("rules.estimates", "UNKNOWN: Final = 1_000", "UNKNOWN: Final = 0")
    ),
    "what_was_learned_counts_from_the_first_call": mutant(
        "EST-1", ("rules.estimates", "ENOUGH: Final = 20", "ENOUGH: Final = 1")
    ),
    "what_was_learned_counts_a_call_too_late": mutant(
        "EST-1", ("rules.estimates", "ENOUGH: Final = 20", "ENOUGH: Final = 21")
    ),
    "what_was_learned_counts_never": mutant(
        "EST-1", ("rules.estimates", "ENOUGH: Final = 20", "ENOUGH: Final = 10**9")
    ),
    "what_was_declared_is_learned_all_the_same": mutant(
        "EST-1",
        ("rules.estimates", "output = said.output if said.output is not None else _expected", "output = _expected"),
    ),
    "all_models_learn_together": mutant(
        "EST-1",
        (
            "books",
            "return self._accounts.learned.get((task, model)) or Learned()",
            "return self._accounts.learned.get((task, '')) or Learned()",
        ),
        ("books", "self._accounts.learned[task, model] = learned", "self._accounts.learned[task, ''] = learned"),
    ),
    "all_tasks_learn_together": mutant(
        "EST-1",
        (
            "books",
            "return self._accounts.learned.get((task, model)) or Learned()",
            "return self._accounts.learned.get(('', model)) or Learned()",
        ),
        ("books", "self._accounts.learned[task, model] = learned", "self._accounts.learned['', model] = learned"),
    ),
    "a_median_is_learned": mutant(
        "EST-2",
        (
            "rules.estimates",
            "factor = 10_000 + 9 * s if sample > quantile else 10_000 - s",
            "factor = 10_000 + 5 * s if sample > quantile else 10_000 - 5 * s",
        ),
    ),
    "an_equal_sample_raises": mutant(
        "EST-2", ("rules.estimates", "if sample > quantile else 10_000 - s", "if sample >= quantile else 10_000 - s")
    ),
    "steps_never_shrink": mutant("EST-2", ("rules.estimates", "s = STEPS[min(count, len(STEPS) - 1)]", "s = STEPS[1]")),
    "steps_stop_shrinking_too_soon": mutant(
        "EST-2", ("rules.estimates", "LEAST_STEP: Final = 50", "LEAST_STEP: Final = 60")
    ),
    "the_first_sample_is_one_of_many": mutant(
        "EST-2",
        (
            "rules.estimates",
            "    if count == 0:\n        return max(1000, sample)\n",
            "    quantile = quantile or 1_000_000\n",
        ),
    ),
    "what_is_learned_may_be_nothing": mutant(
        "EST-2",
        ("rules.estimates", "return max(1000, quantile * factor // 10_000)", "return quantile * factor // 10_000"),
        ("rules.estimates", "        return max(1000, sample)\n", "        return sample\n"),
    ),
    "corrections_teach": mutant(
        "EST-3",
        (
            "rules.closing",
            (
                "    draws = tuple([closed_draw(books, how, draw, account) for draw in "
                "found.draws])\n    books.put_reservation(replace(closed, parts=parts, draws=draws))\n"
            ),
            (
                "    draws = tuple([closed_draw(books, how, draw, account) for draw in "
                "found.draws])\n    books.put_reservation(replace(closed, parts=parts, draws=draws))\n"
                "    if record is not None and used:\n        usage.teach(books, record, "
                "found.need.model, used)\n"
            ),
        ),
    ),
    "estimates_teach": mutant(
        "EST-3",
        (
            "rules.closing",
            "        usage.teach(books, record, found.need.model, used)\n",
            (
                "        usage.teach(books, record, found.need.model, used)\n"
                "    elif how is CallState.SETTLED:\n        usage.teach(books, record, "
                "found.need.model, usage.standing(how, used, need)[0])\n"
            ),
        ),
    ),
    "only_input_teaches": mutant(
        "EST-3", ("rules.usage", "estimates.taught(known, sent, output)", "estimates.taught(known, sent, None)")
    ),
    "reasoning_is_input": mutant(
        "EST-3", ("rules.usage", "told = [(category in PRODUCED, tokens)", 'told = [(category == "output", tokens)')
    ),
}
