"""Faults of chapter 5: dependencies, children, fan-in."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

_FLIPPED = "        if dependent.state is State.WAITING and dependent.wait_key == edge.key:\n"
_VERDICT = "    return StepKind.CHILDREN if wait.pending == 0 else None\n"

MUTANTS: Final[dict[str, Mutant]] = {
    "a_job_is_ready_when_one_dependency_has_ended": mutant(
        "FLOW-1", ("fan_in", "        if wait.pending == 0:\n", "        if wait.pending < wait.total:\n")
    ),
    "a_job_whose_dependencies_ended_goes_first": mutant(
        "FLOW-2", ("fan_in", "    return readied(record, Lane.FRESH)\n", "    return readied(record, Lane.RETURNED)\n")
    ),
    "dependencies_that_ended_make_a_delay_void": mutant(
        "FLOW-2",
        (
            "fan_in",
            'move(tx, "T12", dependent, started(tx, dependent))',
            'move(tx, "T12", dependent, readied(dependent, Lane.FRESH))',
        ),
    ),
    "a_bad_end_upstream_counts_as_a_good_one": mutant(
        "FLOW-3", ("fan_in", 'return wait.failed > 0 and record.on_upstream == "fail"', "return False")
    ),
    "a_bad_end_upstream_leaves_its_dependents_waiting": mutant(
        "FLOW-3", ("fan_in", "    elif failed and wait.failed == 1:\n", "    elif False:\n")
    ),
    "a_death_upstream_goes_one_level_deep": mutant(
        "FLOW-4",
        ("outbox", '    end(tx, "T12", record,', '    move(tx, "T12", record,'),
        (
            "outbox",
            "from aiq.backends.memory.transition import Transaction\n",
            "from aiq.backends.memory.transition import Transaction, move\n",
        ),
    ),
    "a_job_that_would_continue_dies": mutant(
        "FLOW-5", ("fan_in", 'wait.failed > 0 and record.on_upstream == "fail"', "wait.failed > 0")
    ),
    "what_ended_before_never_counts": mutant(
        "FLOW-6", ("fan_in", "    if upstream.state.terminal:\n", "    if False:\n")
    ),
    "a_job_that_ended_badly_before_counts_as_a_good_end": mutant(
        "FLOW-6", ("enqueue", "    if doomed(record, wait):\n", "    if False:\n")
    ),
    "a_batch_may_not_depend_on_itself": mutant(
        "FLOW-7",
        (
            "enqueue",
            "if dependency not in tx.tables.jobs and dependency not in fresh:",
            "if dependency not in tx.tables.jobs:",
        ),
    ),
    "a_child_may_close_a_circle_of_waits": mutant(
        "FLOW-15",
        (
            "rules.validation",
            "if parent is not None and not before.issuperset(spec.depends_on):",
            "if parent is not None and parent.job_id in spec.depends_on:",
        ),
    ),
    "a_child_of_another_parent_is_spawned_again": mutant(
        "FLOW-16",
        (
            "enqueue",
            "same_parent = not isinstance(standing, JobRecord) or standing.parent_id == parent.job_id",
            "same_parent = True",
        ),
    ),
    "a_child_of_another_wait_is_spawned_again": mutant(
        "FLOW-16", ("enqueue", "return same_parent and standing.child_of == spec.child_of", "return same_parent")
    ),
    "a_child_does_not_know_its_parent": mutant(
        "FLOW-8", ("enqueue", "parent_id=parent.job_id if parent else None", "parent_id=None")
    ),
    "a_wait_is_over_when_enough_have_ended": mutant(
        "FLOW-9", ("rules.waits", "if wait.succeeded >= wait.need:", "if wait.succeeded + wait.failed >= wait.need:")
    ),
    "a_wait_is_hopeless_one_failure_too_soon": mutant(
        "FLOW-9",
        ("rules.waits", "if wait.failed > wait.total - wait.need:", "if wait.failed >= wait.total - wait.need:"),
    ),
    "a_wait_is_never_hopeless": mutant(
        "FLOW-9", ("rules.waits", "if wait.failed > wait.total - wait.need:", "if False:")
    ),
    "a_wait_for_all_is_over_at_the_first_failure": mutant(
        "FLOW-9",
        ("rules.waits", _VERDICT, "    return StepKind.CHILDREN if wait.failed or wait.pending == 0 else None\n"),
    ),
    "a_parent_without_children_waits_for_ever": mutant(
        "FLOW-10", ("rules.waits", _VERDICT, _VERDICT.replace("wait.pending == 0", "wait.total and wait.pending == 0"))
    ),
    "a_parent_whose_children_have_ended_waits_for_ever": mutant(
        "FLOW-10",
        ("settle", "    kind = verdict(wait)\n", "    kind = verdict(wait) if wait.pending == wait.total else None\n"),
    ),
    "a_remembered_wait_is_waited_for_again": mutant(
        "FLOW-10",
        ("settle", "    if tx.tables.step(record.id, outcome.key) is not None:\n", "    if False:\n"),
        ("settle", "    kind = verdict(wait)\n", "    kind = verdict(wait) if record.fence == 1 else None\n"),
    ),
    "a_parent_wakes_last": mutant("FLOW-11", ("fan_in", "readied(after, Lane.RETURNED)", "readied(after, Lane.FRESH)")),
    "a_wait_that_is_over_is_not_remembered": mutant(
        "FLOW-11",
        (
            "fan_in",
            "    after = remember(tx, record, remembered(wait, kind, winners, record.fence))\n",
            "    after = record\n",
        ),
    ),
    "winners_are_named_by_id": mutant(
        "FLOW-12",
        (
            "data",
            "done.sort(key=lambda edge: (edge.done_order or 0, edge.upstream_id))",
            "done.sort(key=lambda edge: edge.upstream_id)",
        ),
    ),
    "losers_are_named_among_the_winners": mutant(
        "FLOW-12",
        ("data", " for edge in done if edge.succeeded]", " for edge in done]"),
    ),
    "the_last_failure_is_named_as_the_first": mutant(
        "FLOW-12", ("fan_in", "first_failed=wait.first_failed or ended.id", "first_failed=ended.id")
    ),
    "siblings_run_on_when_the_wait_is_over": mutant(
        "FLOW-13", ("fan_in", 'if wait.pending and wait.rest == "cancel":', "if False:")
    ),
    "siblings_are_cancelled_though_they_should_be_left": mutant(
        "FLOW-13", ("fan_in", 'if wait.pending and wait.rest == "cancel":', "if wait.pending:")
    ),
    "a_late_child_revives_its_parent": mutant(
        "FLOW-14",
        ("fan_in", _FLIPPED, "        if dependent.state is not State.RUNNING:\n"),
    ),
    "a_child_settled_again_counts_again": mutant(
        "FAN-1",
        (
            "settle",
            "        return last.answer\n",
            "        flip_edges(tx, tx.tables.jobs[lease.job_id], 256)\n        return last.answer\n",
        ),
        ("settle", "import end_wait\n", "import end_wait, flip_edges\n"),
        ("fan_in", "    tx.tables.edges_out[ended.id] = edges[limit:]\n", ""),
        ("ending", "    if tx.tables.edges_out[ended.id]:\n", "    if False:\n"),
    ),
    "a_dependency_named_twice_counts_twice": mutant(
        "FAN-1", ("enqueue", "dict.fromkeys(spec.depends_on):", "list(spec.depends_on):")
    ),
    "a_terminal_step_flips_every_edge": mutant(
        "FAN-2", ("ending", "flip_edges(tx, ended, MAX_FLIPS)", "flip_edges(tx, ended, 10**9)")
    ),
    "edges_over_the_bound_are_forgotten": mutant(
        "FAN-2", ("ending", "    if tx.tables.edges_out[ended.id]:\n", "    if False:\n")
    ),
    "edges_are_flipped_in_the_order_they_were_made": mutant(
        "FAN-2",
        (
            "fan_in",
            "edges = sorted(tx.tables.edges_out[ended.id], key=lambda edge: (edge.dependent_id, edge.key))",
            "edges = list(tx.tables.edges_out[ended.id])",
        ),
    ),
    "the_outbox_has_no_limit": mutant("FAN-2", ("outbox", "while outbox and applied < limit:", "while outbox:")),
    "a_parent_is_moved_by_each_end": mutant(
        "FAN-3",
        ("fan_in", _FLIPPED, "        if dependent.state in (State.WAITING, State.READY):\n"),
    ),
    "a_child_of_another_key_ends_the_wait": mutant(
        "FLOW-9", ("fan_in", _FLIPPED, "        if dependent.state is State.WAITING:\n")
    ),
    "children_spawned_again_count_again": mutant(
        "FAN-5",
        (
            "enqueue",
            "    if standing is not None:\n",
            (
                "    if standing is not None and parent is not None:\n"
                "        place = (parent.job_id, spec.child_of)\n"
                "        wait = tx.tables.waits[place]\n"
                "        tx.tables.waits[place] = replace(wait, total=wait.total + 1)\n"
                "    if standing is not None:\n"
            ),
        ),
    ),
    "a_failed_child_leaves_its_parent_waiting": mutant(
        "FAN-6", ("fan_in", "wait = replace(wait, failed=wait.failed + 1,", "wait = replace(wait, failed=wait.failed,")
    ),
    "a_child_that_expires_leaves_its_parent_waiting": mutant(
        "FAN-6",
        (
            "sweeps",
            "        end(tx, change.number, record, after)\n",
            "        move(tx, change.number, record, after)\n",
        ),
    ),
    "a_child_that_is_cancelled_leaves_its_parent_waiting": mutant(
        "FAN-6", ("cancel", 'return end(tx, "T14", record,', 'return move(tx, "T14", record,')
    ),
    "a_death_upstream_strikes_a_job_that_has_ended": mutant(
        "FLOW-3",
        (
            "outbox",
            "    if record.state is not State.WAITING or not doomed(record, wait):\n",
            "    if not doomed(record, wait):\n",
        ),
    ),
    "jobs_of_a_flow_do_not_wait_for_the_rest_of_it": mutant(
        "FLOW-17", ("rules.staging", "replace(spec, depends_on=behind) for spec", "spec for spec")
    ),
    "the_opener_of_a_flow_is_due_at_once": mutant("FLOW-17", ("rules.staging", "delay_ms=STAGE_KEPT_MS", "delay_ms=0")),
    "the_opener_of_a_flow_comes_when_its_hour_is_over": mutant(
        "FLOW-18", ("rules.staging", "Edit(job_id=job_id, delay_ms=0, ", "Edit(job_id=job_id, ")
    ),
    "the_opener_of_a_flow_is_not_told_that_all_is_there": mutant(
        "FLOW-18", ("rules.staging", "payload=OPEN))", "payload=SHUT))")
    ),
    "a_row_of_the_outbox_is_never_done": mutant(
        "FAN-8", ("outbox", "            outbox.popleft()\n", "            pass\n")
    ),
}
