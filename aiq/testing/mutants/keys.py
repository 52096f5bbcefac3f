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
    "a_delay_lets_others_pass": mutant("KEY-2", ("rules.keys", "        elif not parks:\n            return\n", "")),
    "a_new_job_passes_those_that_wait_for_their_time": mutant(
        "KEY-2", ("rules.keys", "State.READY and key.room and not key.line", "State.READY and key.room")
    ),
    "the_line_begins_with_the_last": mutant(
        "KEY-2", ("rules.keys", "if branch else (turn, 0, turn)", "if branch else (-turn, 0, turn)")
    ),
    "the_first_of_a_line_need_not_be_ready": mutant(
        "KEY-2 KEY-3",
        (
            "rules.keys",
            "        if state is State.READY:\n            yield name",
            "        if True:\n            yield name",
        ),
    ),
    "a_freed_key_is_seen_by_the_next_claim_alone": mutant("KEY-3", ("claim", "    call_up(tx)\n", "")),
    "nobody_is_told_that_a_key_is_free": mutant("KEY-3", ("door", "            call_up(tx)\n", "")),
    "a_retry_gives_its_key_up": mutant("KEY-5", ("rules.keys", "in _PARKING and bool(wait_key)", "in _PARKING")),
    "a_parked_job_takes_no_place_though_it_is_to": mutant(
        "KEY-6",
        (
            "rules.keys",
            'Stand.AWAY if while_parked == "free" else Stand.LINE\n    if state',
            "Stand.AWAY\n    if state",
        ),
    ),
    "a_parked_job_stops_all_behind_it": mutant("KEY-6", ("rules.keys", "elif not parks:", "else:")),
    "a_parked_job_holds_its_key": mutant(
        "KEY-6",
        ("rules.keys", 'Stand.AWAY if while_parked == "free" else Stand.LINE\n    if state', "stand\n    if state"),
    ),
    "a_parked_job_never_gives_its_key_up": mutant(
        "KEY-7",
        (
            "rules.keys",
            'Stand.AWAY if while_parked == "free" else Stand.LINE\n    if state',
            "Stand.LINE\n    if state",
        ),
    ),
    "a_sleeping_job_never_gives_its_key_up": mutant(
        "KEY-7", ("rules.keys", "State.WAITING, State.SUSPENDED, State.SCHEDULED", "State.WAITING, State.SUSPENDED")
    ),
    "who_comes_back_takes_a_key_that_is_taken": mutant(
        "KEY-7", ("rules.keys", "key.line == (stand is Stand.LINE) else Stand.LINE", "key.line >= 0 else Stand.HOLDS")
    ),
    "who_comes_back_passes_those_before_it": mutant(
        "KEY-7", ("rules.keys", "if key.room and key.line == (stand is Stand.LINE) else", "if key.room else")
    ),
    "a_death_frees_no_key": mutant(
        "KEY-8", ("rules.keys", "if state.terminal or", "if (state.terminal and state is not State.DEAD) or")
    ),
    "a_cancelled_job_stays_in_its_line": mutant(
        "KEY-8", ("rules.keys", "if state.terminal or", "if (state.terminal and stand is not Stand.LINE) or")
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
    "a_child_stands_behind_its_parent": mutant(
        "KEY-13",
        ("rules.keys", "return (branch.root, -branch.depth, turn) if", "return (branch.root, branch.depth, turn) if"),
    ),
    "a_child_stands_in_its_own_turn": mutant(
        "KEY-13",
        ("rules.keys", "return (branch.root, -branch.depth, turn) if", "return (turn, -branch.depth, turn) if"),
    ),
    "a_tree_is_in_the_order_of_enqueueing": mutant(
        "KEY-13", ("rules.keys", "return (branch.root, -branch.depth, turn) if", "return (branch.root, -1, turn) if")
    ),
    "a_grandchild_counts_from_its_parent": mutant(
        "KEY-13", ("rules.keys", "Branch(branch.root, branch.depth + 1) if branch", "Branch(number, 1) if branch")
    ),
    "a_redriven_job_begins_the_line": mutant("KEY-16", ("transition", "else tables.next_number()", "else 0")),
    "a_child_without_a_parent_stands_in_its_tree": mutant(
        "KEY-16",
        (
            "transition",
            "branch = None if moved.parent_id is None else tables.branches[moved.id]",
            "branch = tables.branches.get(moved.id)",
        ),
    ),
    "a_redriven_parent_stands_before_its_children": mutant(
        "KEY-17",
        ("transition", "else tables.next_number()", "else tables.numbers[moved.id] - 1"),
        ("rules.keys", "-branch.depth, turn) if", "0, turn) if"),
    ),
    "who_depends_on_a_parent_stops_its_children": mutant(
        "KEY-17", ("rules.keys", "else Branch(number, 1)", "else Branch(2**40, 1)")
    ),
    "nobody_knows_who_holds_a_key": mutant("KEY-15", ("explain", "holder=keys.first_holder(spot)", "holder=None")),
    "what_goes_before_is_not_counted": mutant(
        "KEY-15", ("explain", "if keyed.stand is Stand.LINE else 0", "if False else 0")
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
