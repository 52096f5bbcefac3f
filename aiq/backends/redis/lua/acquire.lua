-- acquire: reserve for calls of running jobs, each by itself, in order; one that must wait stands in line.
-- flags: allow-oom
-- args: calls (CallRequest)
-- returns: for each `is`, the name of its class, with the fields of that, as `booking.acquire` gives them; of LeaseLost
--   its `reason`
-- spec: CALL-1 to CALL-8, LEASE-4
local function acquire(request)
  request.limits, request.inside = request.limits or {}, request.inside or {}
  request.estimate = setmetatable(request.estimate or {}, defaults.Estimate)
  local job = jobs.get(request.lease.job_id)
  local reason = leases.lost_or_expired(job, request.lease, step.now_ms)
  if reason then return {is = 'LeaseLost', reason = reason} end
  local found = booking.acquire(job, request)
  if found.is == 'Admitted' and not job.opened_calls then
    jobs.put(job, rows.with(job, {opened_calls = true}))
  end
  return found
end

local ids, told, answers = {}, {}, {}
for place, request in ipairs(args.calls) do
  ids[place], told[place] = request.lease.job_id, request.lease
end
jobs.fetch(ids)
books.fetch_ends(told)
for place, request in ipairs(args.calls) do answers[place] = acquire(request) end
return answers
