-- redrive: give jobs that ended badly another generation, each by itself.
-- flags: allow-oom
-- args: request (a Redrive: id, queue, band, route, budget, delay_ms, spread_ms, forget_steps, detach; blob, if there is
--   another payload), targets ({job_id, generation})
-- bytes: that payload
-- returns: for each {state, generation, existed}, {conflict = {message, reason}}, or nothing for a job that is not here
-- spec: DEAD-11, DEAD-12, DEAD-13, DEAD-14, DEAD-15, DEAD-16, DEAD-17, DEAD-18, DEAD-19, DEAD-20, DEAD-23, DEAD-26
local request, found = args.request, {}
if request.budget and not books.budget(request.budget) then
  local name = texts.quoted(request.budget)
  step.refuse('NotFound', {request.budget, 'No budget ' .. name .. ' is stored here. Store it, or name another.'})
end
redriving.check_edges(args.targets)
for number, target in ipairs(args.targets) do found[number] = redriving.redrive(request, number - 1, target) end
return found
