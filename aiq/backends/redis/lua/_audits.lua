-- audits: what the audit finds about one row. Every check reads what is stored as it is and trusts no operation.
-- `tell(clause, text, job_id)` takes what is wrong; without an id it is about the row that is looked at.
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

local function of_job(id, tell)
  local job = jobs.get(id)
  of_state(job, tell)
  audit_keys.of_job(job, tell)
  audit_graves.of_job(job, tell)
end

-- What is looked at of each table: a function that takes the id of a row, and what is to be told of it.
audits.PARTS = {
  jobs = of_job,
  keys = audit_keys.of_spot,
  unique = audit_keys.of_unique,
  groups = audit_graves.of_group,
  deaths = audit_graves.of_row,
  following = audit_graves.of_row,
}
