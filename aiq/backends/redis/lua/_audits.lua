-- audits: what the audit finds about one job. Every check reads what is stored as it is and trusts no operation.
-- spec: STATE-2, STATE-3, STATE-4, CLAIM-8

-- Fields that belong to some states only.
local function of_state(job, tell)
  local running = job.state == 'running'
  for _, name in ipairs({'lease_id', 'owner', 'expires_at_ms'}) do
    if (job[name] ~= nil) ~= running then tell('STATE-3', 'it is ' .. job.state .. ', and its ' .. name .. ' does not agree') end
  end
  if jobs.terminal(job) ~= (job.finished_at_ms ~= nil) then
    tell('STATE-3', 'it is ' .. job.state .. ', and its end does not agree')
  end
  if job.state == 'scheduled' and not job.due_ms then tell('STATE-3', 'it is scheduled for no instant') end
  if (job.state == 'waiting' or job.state == 'suspended') and not job.wait_key then
    tell('STATE-3', 'it is ' .. job.state .. ' for nothing')
  end
end

-- What is wrong with a job: a list of clause and text.
function audits.of_job(job)
  local found = {}
  local function tell(clause, text) found[#found + 1] = {clause, text} end
  of_state(job, tell)
  return found
end
