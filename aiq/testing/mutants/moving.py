"""Faults of moving a storage."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "steps_do_not_move": mutant(
        "MOVE-1", ("dump", "    _edges,\n    _steps,\n    _answers,\n", "    _edges,\n    _answers,\n")
    ),
    "signals_do_not_move": mutant("MOVE-1", ("dump", "    _answers,\n    _signals,\n", "    _answers,\n")),
    "streams_do_not_move": mutant("MOVE-1", ("dump", "    _items,\n    _ranges,\n", "")),
    "reservations_do_not_move": mutant("MOVE-1", ("dump", "    _reservations,\n    _rooms,\n", "    _rooms,\n")),
    "a_tenant_that_comes_late_goes_before_all": mutant(
        "MOVE-1", ("dump", "    _lines,\n    _pools,\n", "    _lines,\n")
    ),
    "patience_begins_anew_where_a_job_has_moved": mutant(
        "MOVE-1", ("load", "tables.pool(record), moved.patience_end_ms)", "tables.pool(record), tx.now_ms + 60_000)")
    ),
    "who_was_to_be_let_go_stays_held": mutant("MOVE-1", ("dump", "    _rooms,\n    _usage,\n", "    _usage,\n")),
    "use_does_not_move": mutant("MOVE-1", ("dump", "    _usage,\n    _schedules,\n", "    _schedules,\n")),
    "edges_do_not_move": mutant("MOVE-1", ("dump", "    _waits,\n    _edges,\n", "    _waits,\n")),
    "schedules_do_not_move": mutant("MOVE-1", ("dump", "    _schedules,\n    _outbox,\n", "    _outbox,\n")),
    "keys_do_not_move": mutant(
        "MOVE-1", ("load", "    if moved.turn is not None and not record.state.terminal:\n", "    if False:\n")
    ),
    "a_settlement_that_was_answered_elsewhere_is_a_lost_lease": mutant(
        "MOVE-1", ("dump", "    _answers,\n    _signals,\n", "    _signals,\n")
    ),
    "held_jobs_stand_in_the_order_of_enqueueing": mutant(
        "MOVE-1",
        (
            "load",
            "sorted(holds.lines[line].values(), key=lambda one: one.number)",
            "list(holds.lines[line].values())",
        ),
    ),
    "a_tenant_loses_its_weight": mutant("MOVE-1", ("dump", "    _learned,\n    _tenants,\n", "    _learned,\n")),
    "a_job_that_is_gone_is_forgotten": mutant("MOVE-1", ("dump", "    _tombstones,\n    _log,\n", "    _log,\n")),
    "a_job_that_is_loaded_again_begins_anew": mutant(
        "MOVE-2",
        ("load", "    if record.id in tables.jobs:\n        return\n", ""),
    ),
    "a_move_that_is_over_can_be_loaded_again": mutant(
        "MOVE-2", ("load", "        if tx.tables.loaded == move_id:\n            return\n", "")
    ),
    "a_retired_storage_goes_on": mutant(
        "MOVE-3",
        ("retire", "    if tx.tables.moved_to is not None:\n        raise Moved(tx.tables.moved_to)\n", ""),
    ),
    "a_retired_storage_is_retired_for_ever": mutant(
        "MOVE-3",
        (
            "retire",
            "    tx.tables.moved_to = moved_to\n",
            "    tx.tables.moved_to = moved_to or standing\n",
        ),
    ),
    "a_storage_moves_twice": mutant(
        "MOVE-3", ("retire", "    if moved_to is not None and standing not in (None, moved_to):\n", "    if False:\n")
    ),
    "a_storage_is_written_while_it_is_loaded": mutant(
        "MOVE-4", ("retire", "    if tx.tables.loading is not None:\n", "    if False:\n")
    ),
    "a_storage_stays_shut_after_its_move": mutant(
        "MOVE-4",
        (
            "load",
            "        tx.tables.loading, tx.tables.loaded = None, move_id\n",
            "        tx.tables.loaded = move_id\n",
        ),
    ),
    "jobs_of_two_storages_mix": mutant("MOVE-5", ("load", "        if tx.tables.jobs:\n", "        if False:\n")),
    "two_moves_mix": mutant("MOVE-5", ("load", "    if loading != move_id:\n", "    if False:\n")),
    "a_run_loses_its_lease_by_a_move": mutant(
        "MOVE-6",
        ("dump", "            record=record,\n", "            record=replace(record, lease_id='gone'),\n"),
        ("dump", "from itertools import islice\n", "from dataclasses import replace\nfrom itertools import islice\n"),
    ),
    "a_page_leaves_one_record_out": mutant(
        "MOVE-7", ("dump", "cursor_at(kind, str(place + len(page)))", "cursor_at(kind, str(place + len(page) + 1))")
    ),
    "who_waits_is_not_told_of_a_move": mutant(
        "MOVE-8", ("face.moving", "        self._home.wakeups.notify_all()\n", "")
    ),
    "one_waits_for_ever_where_a_storage_has_moved_from": mutant(
        "MOVE-8", ("face.wakeups", "        if moved_to is not None:\n", "        if False:\n")
    ),
    "a_retired_storage_is_loaded": mutant(
        "MOVE-9", ("load", "    if tx.tables.moved_to is not None:\n", "    if False:\n")
    ),
    "half_a_storage_moves_on": mutant(
        "MOVE-9", ("retire", "    if moved_to is not None and tx.tables.loading is not None:\n", "    if False:\n")
    ),
    "a_page_of_a_dump_has_no_end": mutant(
        "MOVE-7", ("dump", "    page = page_of(ahead[:limit])\n", "    page = tuple(ahead[:limit])\n")
    ),
}
