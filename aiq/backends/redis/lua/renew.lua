-- renew: restart leases from now, each to the job's own length or to the one that is asked for; that is T4, no event.
-- One that is lost leaves the others alone.
-- flags: allow-oom
-- args: leases, briefs (the place of what `briefs.learn` takes of their jobs, or nil), lease_ms (or nil), shrink (whether that
--   may be shorter than the job's own)
-- returns: for each {lease_ms, cancel_requested, paused}, or the first alone where the others are false;
--   or {lost = reason}
-- spec: LEASE-3, LEASE-4, LEASE-8, LEASE-10, LEASE-12, TIME-5, STATE-5
local function answer(length_ms, cancel_requested, queue)
  local paused = rows.get('paused', queue) ~= nil
  if not cancel_requested and not paused then return length_ms end
  return {lease_ms = length_ms, cancel_requested = cancel_requested, paused = paused}
end

local function renewed(lease)
  local plain_ms, queue = plain.renew(lease, args.lease_ms, args.shrink)
  if plain_ms then return answer(plain_ms, false, queue) end
  local job, reason = holder.held_live(lease)
  if not job then return {lost = reason} end
  local length_ms = args.lease_ms or job.lease_ms
  if not args.shrink then length_ms = math.max(length_ms, job.lease_ms) end
  jobs.put(job, rows.with(job, {expires_at_ms = step.now_ms + length_ms}))
  return answer(length_ms, job.cancel_requested_at_ms ~= nil, job.queue)
end

local ids, found = {}, {}
for place, lease in ipairs(args.leases) do ids[place] = lease.job_id end
if args.briefs then briefs.learn(ids, step.blob(args.briefs)) end
jobs.fetch(ids)
for place, lease in ipairs(args.leases) do found[place] = renewed(lease) end
return found
