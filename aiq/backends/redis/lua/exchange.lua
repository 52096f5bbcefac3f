-- exchange: record outcomes in their order, then lease jobs. A refused settlement is a value in its place.
-- flags: allow-oom
-- args: settlements (each {lease, id, outcome}; an outcome has the name of its class as `kind`, and `oversized` stands for
--   a result that is not sent because nobody may keep it; a run that succeeded is a list of job_id, fence, lease_id, id,
--   place of the result), successes (in the place of these, where all runs succeeded: the job_ids, fences, lease_ids and
--   ids, a list of each, and the place of the first result), briefs (the place of what `briefs.learn` takes of their jobs, or nil), claim ({worker, number,
--   lease_id, wants} or nil)
-- returns: settled (what `settle.settle` answers, in their order: {state, late, step}, whose `value` is a place, or
--   {lost = reason}, or {oversized = true}; true of a run that succeeded in time), claimed (the places of records),
--   next_due_ms (or nil)
-- spec: LEASE-1, STATE-6, STORE-5, STORE-11, TIME-7

-- When to claim again after a claim that has looked at as many jobs as one may. Not 0: that is for upkeep to do.
local AT_ONCE_MS = 1

local bytes = args.briefs and step.blob(args.briefs)
local settled = args.successes and settle.successes(args.successes, bytes) or settle.all(args.settlements, bytes)
local leased, more = {}, false
if args.claim then leased, more = claim.take(args.claim) end
local claimed = jobs.tell_all(leased)
step.let_go()
sweeps.glance()
local due_ms = sweeps.next_due_ms()
return {settled = settled, claimed = claimed, next_due_ms = more and due_ms ~= 0 and AT_ONCE_MS or due_ms}
