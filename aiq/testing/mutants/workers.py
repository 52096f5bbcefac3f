"""Faults of the register of workers, and of what a storage says of its surroundings."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

_STARTED = "    started_at_ms = known.started_at_ms if known else tx.now_ms - beat.up_ms\n"
_SILENT = "    silent = [name for at_ms, name in every if at_ms <= since_ms]\n"

MUTANTS: Final[dict[str, Mutant]] = {
    "each_beat_begins_anew": mutant("WORK-1", ("workers", _STARTED, "    started_at_ms = tx.now_ms - beat.up_ms\n")),
    "a_worker_began_with_its_first_beat": mutant(
        "WORK-1", ("workers", _STARTED, _STARTED.replace("tx.now_ms - beat.up_ms", "tx.now_ms"))
    ),
    "the_first_beat_stands": mutant(
        "WORK-1", ("workers", " = KnownWorker(beat, ", " = KnownWorker(known.beat if known else beat, ")
    ),
    "a_worker_is_gone_a_moment_late": mutant(
        "WORK-2", ("rules.workers", "silent_ms >= WORKER_GONE_MS", "silent_ms > WORKER_GONE_MS")
    ),
    "a_blocked_worker_is_never_gone": mutant(
        "WORK-2", ("rules.workers", "    if silent_ms >=", "    if not beat.blocked and silent_ms >=")
    ),
    "a_blocked_worker_is_alive": mutant("WORK-2", ("rules.workers", "WorkerState.BLOCKED if", "WorkerState.ALIVE if")),
    "a_clock_put_back_makes_silence_negative": mutant(
        "WORK-2", ("rules.workers", "max(0, now_ms - beat_at_ms)", "abs(now_ms - beat_at_ms)")
    ),
    "who_leaves_stays": mutant(
        "WORK-3", ("workers", "    tx.tables.workers.pop(worker, None)\n", "    tx.tables.workers.get(worker, None)\n")
    ),
    "who_leaves_takes_all_along": mutant(
        "WORK-3", ("workers", "    tx.tables.workers.pop(worker, None)\n", "    tx.tables.workers.clear()\n")
    ),
    "silent_workers_are_kept_for_ever": mutant("WORK-4", ("workers", _SILENT, "    silent = list[str]()\n")),
    "silent_workers_go_when_they_are_gone": mutant(
        "WORK-4", ("workers", "tx.now_ms - WORKER_KEPT_MS", "tx.now_ms - 30_000")
    ),
    "silent_workers_go_by_name": mutant("WORK-4", ("workers", _SILENT, f"{_SILENT}    silent.sort()\n")),
    "all_silent_workers_go_at_once": mutant(
        "WORK-4", ("workers", "    for name in silent[:limit]:\n", "    for name in silent:\n")
    ),
    "silent_workers_that_are_left_are_not_told": mutant(
        "WORK-4", ("workers", "    return len(silent) > limit\n", "    return False\n")
    ),
    "workers_are_read_in_the_order_of_their_beats": mutant(
        "WORK-5", ("workers", "    names = sorted(tx.tables.workers)\n", "    names = list(tx.tables.workers)\n")
    ),
    "a_page_of_workers_begins_with_the_last": mutant(
        "WORK-5", ("workers", "names[bisect_right(names, after) :]", "names[max(0, bisect_right(names, after) - 1) :]")
    ),
    "a_beat_renews_the_leases_of_its_worker": mutant(
        "WORK-6",
        (
            "workers",
            "    check_beat(beat)\n",
            (
                "    check_beat(beat)\n    from dataclasses import replace\n"
                "    for record in [one for one in tx.tables.jobs.values() if one.owner == beat.worker]:\n"
                "        tx.tables.put(replace(record, expires_at_ms=tx.now_ms + record.lease_ms))\n"
            ),
        ),
    ),
    "the_jobs_of_a_silent_worker_are_taken": mutant(
        "WORK-6",
        (
            "workers",
            "    for name in silent[:limit]:\n",
            (
                "    from dataclasses import replace\n"
                "    gone = [name for at_ms, name in every if at_ms <= tx.now_ms - 30_000]\n"
                "    for record in [one for one in tx.tables.jobs.values() if one.owner in gone]:\n"
                "        tx.tables.put(replace(record, lease_id=''))\n"
                "    for name in silent[:limit]:\n"
            ),
        ),
    ),
    "a_beat_of_any_size_is_taken": mutant("WORK-7", ("rules.workers", "len(beat.slots), MAX_BATCH", "0, MAX_BATCH")),
    "numbers_of_a_beat_are_not_looked_at": mutant(
        "WORK-7", ("rules.workers", "        check_range(kind, number, 0, MAX_LEVEL)\n", "        pass\n")
    ),
    "a_clock_put_back_is_not_told": mutant("FACT-2", ("rules.facts", "ahead_ms > _STEP_MS", "False")),
    "a_clock_corrected_by_a_second_is_told": mutant("FACT-2", ("rules.facts", "ahead_ms > _STEP_MS", "ahead_ms > 0")),
    "a_storage_does_not_say_that_it_has_moved": mutant(
        "FACT-3", ("rules.facts", "    if moved_to is not None:\n", "    if False:\n")
    ),
    "half_a_storage_passes_for_a_whole_one": mutant(
        "FACT-3", ("rules.facts", "    if loading is not None:\n", "    if False:\n")
    ),
    "a_fact_is_told_twice": mutant(
        "FACT-1", ("facts", "    return [durability, clock", "    return [durability, durability, clock")
    ),
}
