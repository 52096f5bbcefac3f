-- save_step: remember a value in the name of a run; the first one stands.
-- flags: allow-oom
-- args: lease, key, digest, value (the place of its bytes)
-- returns: {step (nil where the value was kept), cancel_requested, late}
-- spec: STEP-1, STEP-2, STEP-3, STEP-4, STEP-7, LEASE-5
local job = holder.owned(args.lease)
local first = steps.get(job.id, args.key)
if first and first.digest ~= args.digest then
  local told = 'Step ' .. texts.quoted(args.key) .. ' of job ' .. job.id .. ' is remembered with another digest.'
  step.refuse('Conflict', {message = told, reason = 'step'})
end
if not first then
  local count = steps.count(job.id) + 1
  if count > bounds.MAX_STEPS then
    local advice = 'Split the work into several jobs.'
    step.refuse('TooLarge', {'number of steps of job ' .. job.id, count, bounds.MAX_STEPS, advice})
  end
  local one = {kind = 'value', fence = args.lease.fence, digest = args.digest}
  jobs.put(job, transition.remember(job, args.key, one, step.blob(args.value)))
end
return {
  step = first and steps.tell(job.id, args.key), cancel_requested = job.cancel_requested_at_ms ~= nil,
  late = leases.expired(job, step.now_ms),
}
