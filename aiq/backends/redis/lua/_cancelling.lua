-- cancelling: ending jobs from outside: T14, T15 and, with force, T16.
-- spec: CANCEL-1, CANCEL-2, CANCEL-6, CANCEL-7

-- Cancel one job, or ask its run to stop; what is asked or ended already stays as it is.
function cancelling.cancel_job(job, force)
  if jobs.terminal(job) then return job end
  if job.state ~= 'running' then return ending.end_job('T14', job, rows.with(job, {state = 'cancelled'})) end
  if force then
    closing.revoke_run(job)
    return ending.end_job('T16', job, rows.with(job, {state = 'cancelled'}))
  end
  if job.cancel_requested_at_ms then return job end
  return transition.move('T15', job, rows.with(job, {cancel_requested_at_ms = step.now_ms}))
end
