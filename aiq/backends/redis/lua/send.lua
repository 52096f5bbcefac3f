-- send: hand a signal to a job: it is bound to the wait that stands open for it (T13), or kept.
-- args: id, name, signal, payload (the place of its bytes)
-- returns: {bound, existed}
-- spec: SIG-1, SIG-2, SIG-4, SIG-5, SIG-11
local job, payload = jobs.get(args.id), step.blob(args.payload)
if not job then step.refuse('NotFound', {args.id}) end

-- A repeat gets its first answer even after the job has ended: it was accepted then.
local first = signals.get(job.id, args.signal)
if first then
  if first.name ~= args.name or signals.payload(job.id, args.signal) ~= payload then
    local told = 'Signal ' .. texts.quoted(args.signal) .. ' was sent before, with another name or payload.'
    step.refuse('Conflict', {message = told, reason = 'signal'})
  end
  return {bound = first.bound, existed = true}
end
if jobs.terminal(job) then
  local told = 'Job ' .. job.id .. ' is ' .. job.state .. '; nothing waits for a signal any more.'
  step.refuse('Conflict', {message = told, reason = 'terminal'})
end

local bound = job.awaits == args.name
local count = job.kept_signals + 1
if not bound and count > bounds.MAX_KEPT_SIGNALS then
  local what = 'number of signals kept for job ' .. job.id
  step.refuse('TooLarge', {what, count, bounds.MAX_KEPT_SIGNALS, 'Let it take some.'})
end
signals.put(job, args.signal, {
  name = args.name, bound = bound, kept = not bound, over_ms = bound and step.now_ms or nil,
}, payload)
if bound then
  local one = {kind = 'signal', fence = job.fence}
  local after = transition.remember(job, job.wait_key or '', one, payload)
  transition.move('T13', job, transition.readied(after, 0))
else
  jobs.put(job, rows.with(job, {kept_signals = count}))
end
return {bound = bound, existed = false}
