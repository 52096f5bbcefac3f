"""Faults of what is kept for a while only: closed calls, parts of limits, past windows, lines and pools."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

_UNLESS = "        if at_rest(accounts.limits[part[0]], accounts.states[part], tx.now_ms):\n"
_QUIET = "    return quiet == (*full, 0, 0, FULL_PACE) and state.frozen_until_ms <= state.at_ms\n"
_OVER = "        if accounts.balances[window].held or not is_over(accounts.budgets[budget], window_ms, since_ms):\n"
_SAYS_NOTHING = "    return line.wake_at_ms <= tx.now_ms and (unused or same)\n"

MUTANTS: Final[dict[str, Mutant]] = {
    "parts_of_limits_are_kept_for_ever": mutant("LIMIT-17", ("forgetting", _UNLESS, "        if False:\n")),
    "a_part_is_forgotten_whatever_is_taken_of_it": mutant("LIMIT-17", ("forgetting", _UNLESS, "        if True:\n")),
    "a_part_is_forgotten_at_once": mutant(
        "LIMIT-17",
        (
            "forgetting",
            "    for part in accounts.parts.until(_since_ms(tx))[:limit]:\n",
            "    for part in accounts.parts.until(tx.now_ms)[:limit]:\n",
        ),
    ),
    "a_part_is_forgotten_a_day_after_its_first_use": mutant(
        "LIMIT-17",
        (
            "books",
            "        if key:\n            self._accounts.parts.touch((name, key), self.now_ms)\n",
            (
                "        if key and self._accounts.parts.at_ms((name, key)) is None:\n"
                "            self._accounts.parts.touch((name, key), self.now_ms)\n"
            ),
        ),
    ),
    "a_part_that_holds_tokens_is_forgotten": mutant(
        "LIMIT-17",
        ("rules.limits", _QUIET, _QUIET.replace("quiet == (*full, 0, 0,", "quiet == (*full, state.held, 0,")),
    ),
    "a_part_with_a_unit_taken_is_forgotten": mutant(
        "LIMIT-17",
        ("rules.limits", _QUIET, _QUIET.replace("quiet == (*full, 0, 0,", "quiet == (*full, 0, state.running,")),
    ),
    "a_part_that_is_not_full_is_forgotten": mutant(
        "LIMIT-17",
        (
            "rules.limits",
            "    full = (_requests(spec).capacity, _tokens(spec).capacity)\n",
            "    full = (state.requests, state.tokens)\n",
        ),
    ),
    "requests_of_a_part_that_are_lacking_are_forgotten": mutant(
        "LIMIT-17",
        (
            "rules.limits",
            "    full = (_requests(spec).capacity, _tokens(spec).capacity)\n",
            "    full = (state.requests, _tokens(spec).capacity)\n",
        ),
    ),
    "a_part_is_never_full_again": mutant(
        "LIMIT-17", ("rules.limits", "    state = refilled(spec, state, now_ms)\n    full =", "    full =")
    ),
    "a_frozen_part_is_forgotten": mutant(
        "LIMIT-17", ("rules.limits", _QUIET, "    return quiet == (*full, 0, 0, FULL_PACE)\n")
    ),
    "a_part_is_forgotten_on_its_ramp": mutant(
        "LIMIT-17", ("rules.limits", "state.running, _pace(spec, state))", "state.running, state.pace)")
    ),
    "a_limit_for_all_is_forgotten": mutant(
        "LIMIT-17",
        (
            "books",
            "        if key:\n            self._accounts.parts",
            "        if True:\n            self._accounts.parts",
        ),
    ),
    "closed_calls_are_forgotten_one_and_all": mutant(
        "TIME-8", ("forgetting", "accounts.closed.until(_since_ms(tx))[:limit]", "accounts.closed.until(_since_ms(tx))")
    ),
    "closed_calls_are_kept_for_ever": mutant(
        "TIME-8",
        (
            "forgetting",
            "    for key in accounts.closed.until(_since_ms(tx))[:limit]:\n",
            "    for key in list[tuple[str, int, int]]():\n",
        ),
    ),
    "upkeep_does_not_say_that_it_left_something_over": mutant(
        "TIME-8", ("upkeep", "    due_ms = 0 if more else next_due_ms(tx)\n", "    due_ms = next_due_ms(tx)\n")
    ),
    "upkeep_forgets_the_newest_first": mutant(
        "TIME-8",
        ("forgetting", "accounts.parts.until(_since_ms(tx))[:limit]", "accounts.parts.until(_since_ms(tx))[-limit:]"),
    ),
    "what_is_kept_stands_before_what_is_forgotten": mutant(
        "TIME-8", ("forgetting", "            accounts.parts.touch(part, tx.now_ms)\n", "            pass\n")
    ),
    "past_windows_are_kept_for_ever": mutant("BUDGET-15", ("forgetting", _OVER, "        if True:\n")),
    "a_window_is_forgotten_as_soon_as_nobody_spends": mutant(
        "BUDGET-15", ("forgetting", _OVER, "        if accounts.balances[window].held:\n")
    ),
    "a_window_is_forgotten_when_it_is_over": mutant(
        "BUDGET-15", ("forgetting", _OVER, _OVER.replace("since_ms", "tx.now_ms"))
    ),
    "a_window_in_which_something_is_held_is_forgotten": mutant(
        "BUDGET-15", ("forgetting", _OVER, _OVER.replace("accounts.balances[window].held or ", ""))
    ),
    "a_window_is_forgotten_before_a_late_report": mutant(
        "BUDGET-15",
        (
            "forgetting",
            "    for window in accounts.windows.until(since_ms)[:limit]:\n",
            "    for window in accounts.windows.until(tx.now_ms)[:limit]:\n",
        ),
    ),
    "every_month_has_a_day_alone": mutant(
        "BUDGET-15", ("rules.budgets", 'window_end(spec.window or "month", window_ms)', 'window_end("day", window_ms)')
    ),
    "grants_are_known_for_ever": mutant(
        "BUDGET-15", ("forgetting", "        for one in granted[:left]:\n", "        for one in granted[:0]:\n")
    ),
    "all_grants_of_a_budget_are_forgotten": mutant(
        "BUDGET-15", ("forgetting", " if counts_ms == window_ms)", " if counts_ms <= tx.now_ms)")
    ),
    "a_window_goes_before_its_grants": mutant(
        "TIME-8", ("forgetting", "        if len(granted) <= left:\n", "        if True:\n")
    ),
    "a_grant_without_a_window_is_forgotten": mutant(
        "BUDGET-15",
        ("books", "        if state.window_ms:\n", "        if True:\n"),
        ("rules.budgets", 'window_end(spec.window or "month", window_ms)', 'window_end("day", window_ms)'),
    ),
    "lines_are_kept_for_ever": mutant("FAIR-6", ("forgetting", _SAYS_NOTHING, "    return False\n")),
    "a_line_is_forgotten_whatever_it_was_served": mutant("FAIR-6", ("forgetting", _SAYS_NOTHING, "    return True\n")),
    "a_line_that_adds_something_is_kept_for_ever": mutant("FAIR-6", ("forgetting", "(unused or same)", "same")),
    "a_line_is_forgotten_as_soon_as_its_pool_is_empty": mutant(
        "FAIR-6",
        ("forgetting", "    unused = not lanes.bands(name) and (", "    unused = not lanes.bands(name) or ("),
    ),
    "a_line_is_forgotten_for_what_stands_first": mutant(
        "FAIR-6", ("forgetting", "lanes.least_service(name, band), pool", "None, pool")
    ),
    "an_ended_run_does_not_keep_its_line": mutant(
        "FAIR-6",
        (
            "lanes",
            "        self._sort(key)\n        self._touch_line(key)\n\n    def forget_line",
            "        self._sort(key)\n\n    def forget_line",
        ),
    ),
    "a_pool_is_used_by_those_of_other_queues": mutant(
        "FAIR-6",
        (
            "lanes",
            "        elif name != PLAIN:\n            self._idle.pools.touch((self.queue, name), self._idle.now_ms)\n",
            (
                '        elif name != PLAIN:\n            for queue in (self.queue, "default"):\n'
                "                self._idle.pools.touch((queue, name), self._idle.now_ms)\n"
            ),
        ),
    ),
}
