"""Faults of chapter 12: shares, bands, and the order of a line."""

from typing import Final

from aiq.testing.mutants.mutant import Mutant, mutant

MUTANTS: Final[dict[str, Mutant]] = {
    "tenants_are_served_as_they_came": mutant(
        "FAIR-1", ("rules.fairness", "return service + (max(1, rise) if cost > 0 else rise)", "return 0")
    ),
    "jobs_are_counted_and_not_their_costs": mutant(
        "FAIR-1", ("rules.fairness", "rise = cost * WHOLE // weight", "rise = (cost > 0) * 1000 * WHOLE // weight")
    ),
    "cost_is_counted_on_the_last_limit": mutant(
        "FAIR-1",
        (
            "rules.charging",
            "return min((spec.name for spec in specs if spec.tokens is not None and spec.by is None), default=None)",
            "return max((spec.name for spec in specs if spec.tokens is not None and spec.by is None), default=None)",
        ),
    ),
    "cost_leaves_out_what_is_held": mutant(
        "FAIR-1 FAIR-2",
        (
            "rules.charging",
            "found = (part.charge + part.rest for part in parts if part.limit == cost_limit)",
            "found = (part.charge for part in parts if part.limit == cost_limit)",
        ),
    ),
    "a_weight_can_starve_the_others": mutant(
        "FAIR-1", ("rules.fairness", "(max(1, rise) if cost > 0 else rise)", "rise")
    ),
    "at_equal_service_names_decide": mutant(
        "FAIR-1",
        ("rules.fairness", 'return sha256(tenant.encode(errors="surrogatepass")).hexdigest()', "return tenant"),
    ),
    "use_moves_no_share": mutant(
        "FAIR-2", ("rules.closing", "    if difference:\n        books.serve(record, difference)\n", "")
    ),
    "only_more_use_moves_a_share": mutant(
        "FAIR-2",
        (
            "rules.closing",
            "    if difference:\n        books.serve(record, difference)\n",
            "    if difference > 0:\n        books.serve(record, difference)\n",
        ),
    ),
    "a_lost_run_moves_its_share": mutant(
        "FAIR-2",
        (
            "rules.closing",
            "        if how is not CallState.EXPIRED:\n            _settle_order",
            "        if True:\n            _settle_order",
        ),
    ),
    "further_calls_cost_nothing": mutant(
        "FAIR-2", ("rules.calls", "    if more:\n        books.serve(record, more)\n", "")
    ),
    "a_first_call_costs_again": mutant(
        "FAIR-2", ("rules.calls", "more = found.cost - (first.cost if first else 0)", "more = found.cost")
    ),
    "a_tenant_that_comes_late_is_owed_what_others_had": mutant(
        "FAIR-3", ("rules.fairness", "return max(own, served if least is None else least)", "return own")
    ),
    "a_tenant_that_comes_late_begins_anew_in_an_empty_pool": mutant(
        "FAIR-3",
        (
            "rules.fairness",
            "return max(own, served if least is None else least)",
            "return max(own, 0 if least is None else least)",
        ),
    ),
    "a_tenant_that_comes_back_is_forgiven": mutant(
        "FAIR-3",
        (
            "rules.fairness",
            "return max(own, served if least is None else least)",
            "return served if least is None else least",
        ),
    ),
    "a_tenant_that_comes_late_begins_behind_the_most_served": mutant(
        "FAIR-3",
        (
            "rules.fairness",
            "return max(own, served if least is None else least)",
            "return max(own, served, least or 0)",
        ),
    ),
    "a_line_that_stands_aside_is_lifted": mutant(
        "FAIR-4",
        (
            "lanes",
            '        self.put_line(structs.replace(self.line(key), wake_at_ms=0, parked_by=""))\n',
            (
                "        row = self.line(key)\n        self.put_line(structs.replace(row, "
                "service=max(row.service, self.pool(row.pool).served[row.band]), wake_at_ms=0, "
                'parked_by=""))\n'
            ),
        ),
    ),
    "weights_are_not_heard": mutant(
        "FAIR-5", ("weigh", "    tx.tables.accounts.weights[tenant] = weight\n", "    pass\n")
    ),
    "a_weight_is_that_of_all": mutant("FAIR-5", ("rules.fairness", "rise = cost * WHOLE // weight", "rise = cost")),
    "a_heavy_tenant_has_the_smaller_share": mutant(
        "FAIR-5", ("rules.fairness", "rise = cost * WHOLE // weight", "rise = cost * weight // WHOLE")
    ),
    "any_weight_is_accepted": mutant("FAIR-5", ("weigh", "    check_weight(tenant, weight)\n", "")),
    "less_urgent_bands_go_first": mutant(
        "BAND-1",
        (
            "rules.offers",
            "Stand(self._yard.pool(name), self._yard.bands(name))",
            "Stand(self._yard.pool(name), self._yard.bands(name)[::-1])",
        ),
    ),
    "order_is_strict_within_a_pool_but_not_across_pools": mutant(
        "BAND-1",
        (
            "rules.offers",
            "rank = self._ranks[0] if favoured is None",
            "rank = min(self._ranks, key=lambda band: self._places[band][0]) if favoured is None",
        ),
    ),
    "pools_of_one_band_go_by_name": mutant(
        "BAND-1",
        ("rules.offers", "self._places[rank].append((position, pool))", "self._places[rank].append((0, pool))"),
        ("rules.offers", "(front.position, front.pool)", "(0, front.pool)"),
        ("rules.offers", "real = (offer.head.record.position, place[1])", "real = (0, place[1])"),
    ),
    "bands_have_no_floor": mutant(
        "BAND-2",
        ("rules.offers", "        if not any(stand.pool.credits):\n            return None\n", "        return None\n"),
    ),
    "the_floor_counts_jobs": mutant(
        "BAND-2",
        ("rules.offers", "credited(purse, other, FLOOR * cost, self", "credited(purse, other, FLOOR * 1000, self"),
    ),
    "the_floor_is_a_fifth": mutant("BAND-2 BAND-3", ("rules.fairness", "FLOOR: Final = 100", "FLOOR: Final = 200")),
    "credit_has_no_bound": mutant(
        "BAND-2", ("rules.fairness", "min(credits[band] + added, most)", "credits[band] + added")
    ),
    "a_full_queue_parks_its_pools": mutant(
        "QUEUE-3",
        (
            "rules.standing",
            "    return spec is not None and state is not None and full(spec, state)\n",
            "    return False\n",
        ),
    ),
    "nobody_is_told_of_a_unit_of_a_queue": mutant(
        "QUEUE-3", ("books", "        if name.startswith(QUEUE):\n", "        if False:\n")
    ),
    "what_goes_by_credit_pays_nothing": mutant(
        "BAND-2",
        (
            "rules.offers",
            "purse = with_credit(purse, band, purse[band] - paid)",
            "purse = with_credit(purse, band, purse[band])",
        ),
    ),
    "what_goes_by_credit_costs_all_bands_theirs": mutant(
        "BAND-2", ("rules.offers", "purse = with_credit(purse, band, purse[band] - paid)", "purse = (0, 0, 0, 0)")
    ),
    "what_is_given_leaves_what_it_did_not_cost": mutant(
        "BAND-2",
        (
            "rules.offers",
            "purse = with_credit(purse, band, purse[band] - paid)",
            "purse = with_credit(purse, band, max(0, purse[band] - self._price(offer.head.record, offer.rank)))",
        ),
    ),
    "what_passes_takes_all_credit": mutant(
        "BAND-2",
        ("rules.offers", "min(purse[band], WHOLE * cost) if offer.passing else purse[band]", "purse[band]"),
    ),
    "what_passes_pays_no_credit": mutant(
        "BAND-2", ("rules.offers", "min(purse[band], WHOLE * cost) if offer.passing else", "0 if offer.passing else")
    ),
    "what_goes_in_its_own_place_leaves_the_credit": mutant(
        "BAND-2", ("rules.offers", "        if purse[band]:\n", "        if purse[band] and band != offer.rank:\n")
    ),
    "calls_in_line_go_on_the_credit_of_the_head": mutant(
        "BAND-2",
        (
            "rules.offers",
            "return WHOLE * (booking.quote(self._books, record) + ahead)",
            "return WHOLE * booking.quote(self._books, record)",
        ),
    ),
    "calls_before_the_displaced_band_need_credit": mutant(
        "BAND-2", ("rules.booking", "for call in calls if call.band > displaced)", "for call in calls)")
    ),
    "a_job_that_displaces_another_gives_no_credit": mutant(
        "BAND-2",
        (
            "rules.offers",
            (
                "head = self._head(stand, other) if other > band else None\n"
                "            if head is not None:\n                purse"
            ),
            (
                "head = self._head(stand, other) if other > band == offer.rank else None\n"
                "            if head is not None:\n                purse"
            ),
        ),
    ),
    "a_band_without_jobs_keeps_its_credit": mutant(
        "BAND-2",
        (
            "rules.offers",
            "            if stand.pool.credits[band]:\n                stand.change",
            "            if False:\n                stand.change",
        ),
        ("lanes", "        if not self._busy[pool, band]:\n            self.put_pool(self.pool(pool))\n", ""),
    ),
    "pools_have_no_floor_among_them": mutant(
        "BAND-3",
        (
            "rules.offers",
            "        if len(self._ranks) < 2:\n            return None\n        purse",
            "        return None\n        purse",
        ),
    ),
    "the_floor_among_pools_is_paid_by_nobody": mutant(
        "BAND-3", ("rules.offers", "        if offer.favoured and purse[offer.rank] >= WHOLE:\n", "        if False:\n")
    ),
    "the_floor_among_pools_counts_costs": mutant(
        "BAND-3",
        (
            "rules.offers",
            "purse = credited(purse, band, FLOOR, WHOLE)",
            "purse = credited(purse, band, FLOOR * cost // 100_000, WHOLE)",
        ),
    ),
    "a_queue_keeps_the_credit_of_a_band_without_jobs": mutant(
        "BAND-3", ("lanes", "            self.credits = with_credit(self.credits, band, 0)\n", "            pass\n")
    ),
    "parked_pools_gain_credit_of_the_queue": mutant(
        "BAND-3",
        (
            "rules.offers",
            "        others = [band for band in self._ranks if band > offer.rank]\n",
            "        others = [band for band in Band if band > offer.rank]\n",
        ),
    ),
    "a_small_job_passes_the_head_of_its_lane": mutant(
        "BAND-4",
        ("rules.dispatch", '        elif found.by == "tenant":\n', '        elif found.by != "key":\n'),
        (
            "rules.dispatch",
            (
                "            elif isinstance(found, Blocked) and found.by is None:\n"
                "                self._park_pool(offer, found)\n"
            ),
            (
                "            elif isinstance(found, Blocked) and found.by is None:\n"
                "                self._tries -= 1\n                planning.keep(self._books, "
                "found.seen)\n                self._yard.set_aside(offer.head.record, found.limit, "
                "found.key, self._wake_ms(found))\n                "
                "offer.stand.forget(offer.head.record.band)\n"
            ),
        ),
    ),
    "jobs_that_come_back_go_last": mutant(
        "BAND-4",
        (
            "lanes",
            "return (record.lane, record.position, record.id)",
            "return (1 - record.lane, record.position, record.id)",
        ),
    ),
}
