-- run_schedule: make a job of a schedule beside its slots.
-- args: name, job (as enqueue takes it)
-- bytes: the payload of the job
-- returns: {job_ids, existed}, without what is nothing
-- spec: SCHED-18
local name, job = args.name, args.job
if jobs.get(job.id) then return {job_ids = {storing.enqueue({job})[1].job_id}, existed = true} end
local status = calendar.get(name)
schedules.check_free(status, name, status ~= nil and not firing.ended(status.last_job_id))
local job_id = storing.enqueue({job})[1].job_id
firing.cancel_last(status)
calendar.put(schedules.ran(status, job_id, step.now_ms, firing.ended(job_id)))
return {job_ids = {job_id}}
