-- report: count what calls have used, each by itself, in order.
-- flags: allow-oom
-- args: reports (Report)
-- returns: for each {cancel_requested, late}, or {lost = why} of a lost lease
-- spec: CALL-9 to CALL-14, USAGE-1 to USAGE-6, LEASE-1, DEFER-2
local function has_used(told)
  for _, used in ipairs(told.used or {}) do
    if next(used.tokens or {}) then return true end
  end
  return false
end

local function report(told)
  local job = jobs.get(told.lease.job_id)
  local current = not leases.lost(job, told.lease)
  local answer = closing.report(job, told, current)
  if job and current and job.deferred_at_ms and told.state == 'settled' and has_used(told) then
    -- A call that a provider has answered ends the row of deferrals.
    jobs.put(job, rows.with(job, {deferred_at_ms = none}))
  end
  if job and job.state == 'dead' then deaths.count_waste(job.id) end
  return answer
end

local ids, answers = {}, {}
for place, told in ipairs(args.reports) do ids[place] = told.lease.job_id end
jobs.fetch(ids)
for place, told in ipairs(args.reports) do answers[place] = report(told) end
return answers
