-- leases: who owns a job, and what an expired lease may still do.
--
-- A lease is a map with `job_id`, `fence` and `lease_id`. What is lost is told by its reason, a value of `LostReason`.

-- Whether a running job's lease is over: live while now < expires_at, expired from then on. spec: LEASE-9
function leases.expired(job, now_ms)
  return job.expires_at_ms ~= nil and now_ms >= job.expires_at_ms
end

-- Why `lease` does not own the job (nil where none is stored), or nil when it does. Expiry alone takes nothing.
-- spec: LEASE-1, LEASE-2, LEASE-11
function leases.lost(job, lease)
  if not job then return 'terminal' end
  if job.state == 'running' then
    return (job.fence ~= lease.fence or job.lease_id ~= lease.lease_id) and 'taken' or nil
  end
  if job.state == 'cancelled' then return 'cancelled' end
  return states.TERMINAL[job.state] and 'terminal' or 'taken'
end

-- As `lost`, and an expired lease counts as lost too: for renewals and whatever starts something new.
-- spec: LEASE-4, LEASE-6
function leases.lost_or_expired(job, lease, now_ms)
  local reason = leases.lost(job, lease)
  if not reason and leases.expired(job, now_ms) then return 'expired' end
  return reason
end
