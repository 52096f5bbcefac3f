-- deadlines: by when a job must have ended, and what becomes of one that has not.
--
-- Whether a request to stop came from a deadline is told by its instant: one that was made before it came from a
-- person. So nothing more has to be stored of it, and a clock that steps back changes nothing afterwards.
-- spec: DEADLINE-1, DEADLINE-6, DEADLINE-7, DEADLINE-8

-- The instant by which a new job must have ended: the first of all that were named. spec: DEADLINE-1, DEADLINE-8
function deadlines.effective_ms(job, parent_deadline_ms, now_ms)
  local named = {}
  if job.deadline_ms then named[#named + 1] = job.deadline_ms end
  if job.expires_ms then named[#named + 1] = now_ms + job.expires_ms end
  if parent_deadline_ms then named[#named + 1] = parent_deadline_ms end
  return #named > 0 and math.min(unpack(named)) or nil
end

-- Whether a job that does not succeed now is dead by its deadline. A request from before it stays a cancel.
-- spec: DEADLINE-6, DEADLINE-7
function deadlines.overdue(job, now_ms)
  if not job.deadline_ms then return false end
  return (job.cancel_requested_at_ms or now_ms) >= job.deadline_ms
end

-- The error of a job that its deadline found in some state.
function deadlines.deadline_passed(job)
  return {
    type = 'DeadlinePassed',
    message = 'Its deadline passed while it was ' .. job.state .. '.',
    cause = 'deadline',
  }
end
