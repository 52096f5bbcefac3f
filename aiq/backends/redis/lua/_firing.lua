-- firing: making the jobs of schedules: at their slots, and beside them.
-- spec: SCHED-7 to SCHED-15, SCHED-18

-- Whether a job has ended. One that is not stored any more has.
function firing.ended(job_id)
  local job = job_id and jobs.get(job_id)
  return not job or jobs.terminal(job)
end

-- Those of the jobs of a fire that are to be made, or nil where it does not take effect.
function firing.jobs_of(fire)
  local status = calendar.get(fire.name)
  if schedules.is_stale(status, fire, step.now_ms) then return nil end
  return schedules.jobs_to_make(status, fire.jobs, not firing.ended(status.last_job_id))
end

-- Cancel the last job of a schedule if the next one takes its place. spec: SCHED-13
function firing.cancel_last(status)
  if status.spec.overlap ~= 'cancel' or firing.ended(status.last_job_id) then return end
  cancelling.cancel_job(jobs.get(status.last_job_id))
end

-- Move a schedule on by a fire that has made jobs of these ids, and answer it.
function firing.fire(fire, made)
  local status = calendar.get(fire.name)
  if #made > 0 then
    firing.cancel_last(status)
    status = calendar.get(fire.name)
  end
  local last = #made > 0 and made[#made] or status.last_job_id
  calendar.put(schedules.fired(status, fire, made, step.now_ms, firing.ended(last)))
  return {job_ids = made}
end

-- Answer a fire that does not take effect.
function firing.refused(fire)
  if not schedules.is_repeat(calendar.get(fire.name), fire) then return {stale = true} end
  local made = {}
  for _, spec in ipairs(fire.jobs) do
    if jobs.get(spec.id) then made[#made + 1] = spec.id end
  end
  return {job_ids = made, existed = true}
end
