-- holder: who may write in the name of a run.
--
-- A lease is a map with `job_id`, `fence` and `lease_id`. Each function answers with the job, or with nil and the
-- reason for which the lease does not own it.

-- The job that a run owns, though its lease may have expired. spec: LEASE-1, LEASE-2, LEASE-5
function holder.held(lease)
  local job = jobs.get(lease.job_id)
  local reason = leases.lost(job, lease)
  if reason then return nil, reason end
  return job
end

-- The job that a run owns by a lease that is live. spec: LEASE-4, LEASE-6
function holder.held_live(lease)
  local job = jobs.get(lease.job_id)
  local reason = leases.lost_or_expired(job, lease, step.now_ms)
  if reason then return nil, reason end
  return job
end

-- As `held`, and a lost lease is refused.
function holder.owned(lease)
  local job, reason = holder.held(lease)
  if not job then step.refuse('LeaseLost', {lease.job_id, reason}) end
  return job
end
