-- exchange: record outcomes in their order, then lease jobs. A refused settlement is a value in its place.
-- flags: allow-oom
-- args: settlements (each {lease, id, outcome}; an outcome has the name of its class as `kind`; `result` is the place
--   of its bytes, and `oversized` stands for one that is not sent because nobody may keep it),
--   claim ({worker, number, lease_id, wants} or nil)
-- returns: settled (what `settle.settle` answers, in their order: {state, late, step}, whose `value` is a place, or
--   {lost = reason}, or {oversized = true}), claimed (the places of records), next_due_ms (or nil)
-- spec: LEASE-1, STATE-6, STORE-5, STORE-11, TIME-7

-- When to claim again after a claim that has looked at as many jobs as one may. Not 0: that is for upkeep to do.
local AT_ONCE_MS = 1

local settled, claimed, ids, told, records = {}, {}, {}, {}, {}
for place, settlement in ipairs(args.settlements) do
  ids[place], told[place] = settlement.lease.job_id, settlement.lease
end
jobs.fetch(ids)
books.fetch_ends(told)
for _, id in ipairs(ids) do records[#records + 1] = jobs.get(id) end
keys.fetch(records)
unique.fetch(records)
for place, settlement in ipairs(args.settlements) do settled[place] = settle.settle(settlement) end
local leased, more = {}, false
if args.claim then leased, more = claim.take(args.claim) end
for place, id in ipairs(leased) do claimed[place] = jobs.tell(id) end
holding.let_go_on_room()
local due_ms = sweeps.next_due_ms()
return {settled = settled, claimed = claimed, next_due_ms = more and due_ms ~= 0 and AT_ONCE_MS or due_ms}
