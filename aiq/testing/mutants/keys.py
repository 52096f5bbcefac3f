"""Faults of chapter 18: ordered keys, and the newest first."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "one_more_than_a_key_has_places_goes_on": mutant(
        "KEY-1", ("rules.keys", "max(0, self.places - self.holders)", "max(0, self.places - self.holders + 1)")
    ),
    "a_key_of_one_queue_is_that_of_another": mutant(
        "KEY-1", ("keys", 'return (record.queue, record.key or "")', 'return ("", record.key or "")')
    ),
    "a_delay_lets_others_pass": mutant(
        "KEY-2",
        ("rules.keys", "not key.line else Stand.FRESH", "not key.line else Stand(1 if state is State.READY else 3)"),
    ),
    "the_line_begins_with_the_last": mutant(
        "KEY-2", ("keys", "Keyed(self._turn, Stand.AWAY, after.fence)", "Keyed(-self._turn, Stand.AWAY, after.fence)")
    ),
    "the_first_of_a_line_need_not_be_ready": mutant(
        "KEY-2 KEY-3", ("pause_key", "            if record.state is not State.READY:\n                break\n", "")
    ),
    "a_freed_key_is_seen_by_the_next_claim_alone": mutant("KEY-3", ("claim", "    call_up(tx)\n", "")),
    "nobody_is_told_that_a_key_is_free": mutant("KEY-3", ("door", "            call_up(tx)\n", "")),
    "a_retry_gives_its_key_up": mutant(
        "KEY-5",
        ("rules.keys", "(state in _WAITS or sleeps)", "state in (*_WAITS, State.SCHEDULED)"),
        ("rules.keys", 'record.while_parked == "free" and ', ""),
    ),
    "a_parked_job_gives_its_key_up_though_it_is_to_hold_it": mutant(
        "KEY-6", ("rules.keys", 'record.while_parked == "free" and ', "")
    ),
    "a_parked_job_never_gives_its_key_up": mutant(
        "KEY-7", ("rules.keys", 'record.while_parked == "free" and ', "False and ")
    ),
    "a_sleeping_job_never_gives_its_key_up": mutant(
        "KEY-7", ("rules.keys", "(state in _WAITS or sleeps)", "state in _WAITS")
    ),
    "a_retry_gives_the_key_up_that_a_parked_job_would": mutant(
        "KEY-7", ("rules.keys", "(state in _WAITS or sleeps)", "state is not State.READY")
    ),
    "who_comes_back_stands_among_those_that_have_not_started": mutant(
        "KEY-7", ("rules.keys", "return Stand.RETURNED if begun else Stand.FRESH", "return Stand.FRESH")
    ),
    "who_comes_back_takes_a_key_that_is_taken": mutant(
        "KEY-7", ("rules.keys", "return Stand.RETURNED if begun else Stand.FRESH", "return Stand.HOLDS")
    ),
    "a_death_frees_no_key": mutant(
        "KEY-8", ("rules.keys", "if state.terminal or", "if (state.terminal and state is not State.DEAD) or")
    ),
    "a_cancelled_job_stays_in_its_line": mutant(
        "KEY-8", ("rules.keys", "if state.terminal or", "if (state.terminal and not stand.in_line) or")
    ),
    "a_held_job_keeps_its_key": mutant(
        "KEY-9", ("rules.keys", "state.terminal or state is State.HELD", "state.terminal")
    ),
    "the_first_per_key_counts_for_ever": mutant(
        "KEY-10", ("rules.keys", "self, per_key=per_key, places", "self, per_key=self.per_key or per_key, places")
    ),
    "a_lower_per_key_is_not_heard": mutant(
        "KEY-10", ("rules.keys", "per_key=per_key, places=max(per_key, self.holders)", "per_key=9, places=9")
    ),
    "a_paused_key_lets_the_next_go": mutant("KEY-11", ("rules.keys", "return 0 if self.paused else ", "return ")),
    "what_stood_in_its_lane_starts_though_its_key_is_paused": mutant(
        "KEY-11", ("pause_key", "        if record.id not in keys.aside:\n", "        if False:\n")
    ),
    "a_retry_starts_though_its_key_is_paused": mutant("KEY-11", ("keys", " or self.state(spot_of(record)).paused", "")),
    "who_held_a_paused_key_never_comes_back": mutant(
        "KEY-11", ("pause_key", "        keys.aside.remove(record.id)\n        _join(tx, record)\n", "        pass\n")
    ),
    "nobody_follows_on_a_key_that_is_resumed": mutant(
        "KEY-11",
        (
            "pause_key",
            "    keys.pause(spot, paused=False)\n",
            "    keys.pause(spot, paused=False)\n    keys.open.clear()\n",
        ),
    ),
    "a_key_is_never_forgotten": mutant(
        "KEY-12", ("rules.keys", "return not (self.holders or self.line or self.paused)", "return False")
    ),
    "a_child_waits_for_the_key_of_its_parent": mutant(
        "KEY-13", ("rules.keys", '    if same and parent.while_parked == "hold":\n', "    if False:\n")
    ),
    "no_child_may_have_the_key_of_its_parent": mutant(
        "KEY-13", ("rules.keys", '    if same and parent.while_parked == "hold":\n', "    if same:\n")
    ),
    "a_redriven_job_begins_the_line": mutant(
        "KEY-16",
        (
            "keys",
            "Keyed(self._turn, Stand.AWAY, after.fence)",
            "Keyed(self._turn if not after.fence else -1, Stand.AWAY, after.fence)",
        ),
    ),
    "nobody_knows_who_holds_a_key": mutant("KEY-15", ("explain", "holder=keys.first_holder(spot)", "holder=None")),
    "what_goes_before_is_not_counted": mutant(
        "KEY-15", ("explain", "if keyed.stand.in_line else 0", "if False else 0")
    ),
    "the_newest_goes_last_everywhere": mutant("LIFO-1", ("rules.keys", "return -number if", "return number if")),
    "what_comes_back_goes_newest_first_too": mutant(
        "LIFO-1", ("rules.keys", "-number if fresh and lifo and", "-number if lifo and")
    ),
    "an_ordered_job_is_stored_where_the_newest_goes_first": mutant(
        "LIFO-2", ("rules.keys", "    if lifo and spec.ordered:\n", "    if False:\n")
    ),
    "an_ordered_job_goes_newest_first": mutant(
        "LIFO-2", ("rules.keys", "lifo and not record.ordered else", "lifo else")
    ),
}
