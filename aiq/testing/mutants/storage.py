"""Faults of chapter 9: atomicity, repeats, cancellation, listing, pausing, wake-ups, siblings, bytes."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "an_exchange_claims_before_it_settles": mutant(
        "STORE-1",
        (
            "exchange",
            (
                "    settled = tuple([settle(tx, settlement) for settlement in settlements])\n"
                "    claimed, more = claim(tx, request) if request is not None else ((), False)\n"
            ),
            (
                "    claimed, more = claim(tx, request) if request is not None else ((), False)\n"
                "    settled = tuple([settle(tx, settlement) for settlement in settlements])\n"
            ),
        ),
    ),
    "an_exchange_is_two_steps": mutant(
        "STORE-3",
        (
            "face.jobs",
            "        return await self._run(exchange, settlements, claim)\n",
            (
                "        first = await self._run(exchange, settlements, None)\n"
                "        second = await self._run(exchange, (), claim)\n"
                "        return Exchanged(first.settled, second.claimed, second.next_due_ms)\n"
            ),
        ),
    ),
    "a_batch_is_stored_job_by_job": mutant(
        "STORE-3",
        (
            "face.jobs",
            "        return await self._run(enqueue, batch, parent)\n",
            "        return [(await self._run(enqueue, [spec], parent))[0] for spec in batch]\n",
        ),
    ),
    "a_cancel_is_made_job_by_job": mutant(
        "STORE-1",
        (
            "face.jobs",
            "        return await self._run(cancel, job_ids, force=force)\n",
            "        return [(await self._run(cancel, [job_id], force=force))[0] for job_id in job_ids]\n",
        ),
    ),
    "a_cancelled_operation_leaves_a_trace": mutant(
        "STORE-3",
        (
            "door",
            (
                "        await asyncio.sleep(0)\n        self._check_open()\n"
                "        home = self._home\n        with home.lock:"
            ),
            (
                "        self._check_open()\n        home = self._home\n"
                "        try:\n            await asyncio.sleep(0)\n"
                "        except asyncio.CancelledError:\n"
                "            home.tables.position += 1\n            raise\n        with home.lock:"
            ),
        ),
    ),
    "an_append_sent_again_is_a_conflict": mutant(
        "STORE-2", ("append", "(first.kind, first.data, first.step) != (chunk.kind, chunk.data, chunk.step)", "True")
    ),
    "an_enqueue_sent_again_is_a_conflict": mutant(
        "STORE-2", ("enqueue", "elif standing.digest != spec.digest:", "elif True:")
    ),
    "a_pause_is_over_when_something_ends": mutant(
        "STORE-4",
        (
            "ending",
            "    flip_edges(tx, ended, MAX_FLIPS)\n",
            "    flip_edges(tx, ended, MAX_FLIPS)\n    tx.tables.paused.discard(ended.queue)\n",
        ),
    ),
    "a_queue_is_paused_for_ever": mutant("STORE-4", ("pause", "    tx.tables.paused.discard(queue)\n", "")),
    "an_exchange_of_nothing_sweeps": mutant(
        "STORE-5",
        ("exchange", "    return Exchanged(settled,", "    promote(tx, 256)\n    return Exchanged(settled,"),
        ("exchange", "import next_due_ms\n", "import next_due_ms, promote\n"),
    ),
    "nobody_is_woken": mutant("STORE-6", ("door", "        home.wakeups.notify(tx.topics)\n", "")),
    "nobody_is_woken_by_a_job": mutant("STORE-6", ("transition", "    tx.topics.add(job_topic(moved.id))\n", "")),
    "nobody_is_woken_by_a_chunk": mutant("STORE-6", ("append", "    tx.topics.add(stream_topic(record.id))\n", "")),
    "nobody_is_woken_by_a_job_that_comes_back": mutant(
        "STORE-6", ("transition", "    if before is None or moved.state is State.READY:\n", "    if before is None:\n")
    ),
    "a_sibling_is_another_storage": mutant(
        "STORE-7",
        (
            "storage",
            "        return type(self)(self._home)\n",
            "        return type(self)(Home(self._home.url, self._home.clock))\n",
        ),
    ),
    "closing_a_sibling_closes_all": mutant(
        "STORE-7",
        (
            "storage",
            "                home.holders -= 1\n",
            "                home.holders -= 1\n                home.tables.__init__()\n",
        ),
    ),
    "a_listing_goes_by_id": mutant(
        "STORE-8",
        (
            "data",
            "(place, self.jobs[self.order[place]]) for place in places if self.order[place])",
            "(place, self.jobs[sorted(self.order)[place]]) for place in places if self.order[place])",
        ),
    ),
    "a_page_skips_a_job": mutant(
        "STORE-8",
        ("list", "tx.tables.numbers[found[length - 1].id] + 1)", "tx.tables.numbers[found[length - 1].id] + 2)"),
    ),
    "a_cursor_counts_what_the_page_left_out": mutant(
        "STORE-8",
        (
            "list",
            "str(tx.tables.numbers[found[length - 1].id] + 1)",
            "str(job_place(cursor) + limit)",
        ),
    ),
    "a_listing_ignores_the_flow": mutant("STORE-8", ("rules.filtering", "        (query.flow, record.flow),\n", "")),
    "a_listing_ignores_the_states": mutant(
        "STORE-15", ("rules.filtering", "(not query.states or record.state in query.states) and", "")
    ),
    "any_number_of_jobs_is_read": mutant(
        "STORE-9", ("get", '    check_count("list of jobs", len(job_ids), MAX_PAGE)\n', "")
    ),
    "any_number_of_jobs_is_enqueued": mutant(
        "STORE-9", ("rules.validation", '    check_count("batch", len(batch), bounds.MAX_BATCH)\n', "")
    ),
    "a_batch_may_have_any_weight": mutant(
        "STORE-9", ("rules.validation", "size = sum(len(spec.payload) for spec in batch)", "size = 0")
    ),
    "an_empty_result_is_none": mutant(
        "STORE-10",
        (
            "settle",
            "result=outcome.result if isinstance(outcome, Succeeded)",
            "result=(outcome.result or None) if isinstance(outcome, Succeeded)",
        ),
    ),
    "bytes_that_are_no_text_are_mended": mutant(
        "STORE-10",
        ("items", "Chunk(number, kind, data,", 'Chunk(number, kind, data.decode(errors="replace").encode(),'),
    ),
    "answers_leave_out_what_is_not_there": mutant(
        "STORE-11",
        (
            "get",
            "records = [tx.tables.jobs.get(job_id) for job_id in job_ids]",
            "records = [tx.tables.jobs[job_id] for job_id in job_ids if job_id in tx.tables.jobs]",
        ),
    ),
    "answers_come_in_the_order_of_the_ids": mutant(
        "STORE-11", ("cancel", "for job_id in job_ids]", "for job_id in sorted(job_ids)]")
    ),
    "a_refused_settlement_is_raised": mutant(
        "STORE-12",
        (
            "settle",
            "    if isinstance(record, LeaseLost):\n        return record\n",
            "    if isinstance(record, LeaseLost):\n        raise record\n",
        ),
    ),
    "a_foreign_error_leaves_the_storage": mutant(
        "STORE-12",
        (
            "rules.validation",
            '    for want in request.wants:\n        check_name("queue", want.queue)\n',
            '    for want in request.wants:\n        assert " " not in want.queue\n',
        ),
    ),
    "a_job_forgets_its_tenant": mutant(
        "ENQ-1", ("enqueue", "        **content,\n", '        **{**content, "tenant": ""},\n')
    ),
    "a_page_goes_over_what_fills_it": mutant(
        "STORE-13", ("rules.batches", "        if total >= most:\n", "        if total > most:\n")
    ),
    "a_page_has_no_end": mutant("STORE-13", ("rules.batches", "        if total >= most:\n", "        if False:\n")),
    "a_stream_never_says_that_more_is_there": mutant("STORE-13", ("read", "len(page) < len(behind))", "False)")),
    "a_listing_ends_with_a_page_that_is_full": mutant(
        "STORE-13", ("list", "    if length == len(found):\n", "    if len(found) <= limit:\n")
    ),
    "an_answer_by_id_has_no_end": mutant(
        "STORE-16",
        (
            "get",
            "records[: page_length(0 if record is None else record.content_size for record in records)]",
            "records",
        ),
    ),
    "what_an_answer_has_no_room_for_is_not_held": mutant(
        "STORE-16",
        (
            "hold",
            "    for record in found:\n        if record.state is State.READY",
            "    for record in found[:17]:\n        if record.state is State.READY",
        ),
    ),
    "a_listing_that_has_looked_enough_is_over": mutant(
        "STORE-14", ("list", "            return found, place_of\n", "            return found, None\n")
    ),
    "a_listing_ignores_the_tenant": mutant(
        "STORE-15", ("rules.filtering", "        (query.tenant, record.tenant),\n", "")
    ),
    "a_listing_ignores_when_jobs_were_enqueued": mutant(
        "STORE-15", ("rules.filtering", "        (query.created, record.created_at_ms),\n", "")
    ),
    "a_listing_ignores_when_jobs_have_ended": mutant(
        "STORE-15", ("rules.filtering", "        (query.ended, record.finished_at_ms),\n", "")
    ),
    "a_listing_ignores_when_jobs_are_due": mutant(
        "STORE-15", ("rules.filtering", "        (query.due, record.due_ms),\n", "")
    ),
}
