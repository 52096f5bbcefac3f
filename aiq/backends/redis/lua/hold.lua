-- hold: keep ready jobs from being claimed, all of them or none; one that is held stays as it is.
-- flags: allow-oom
-- args: ids, bytes (how many bytes of payloads and results one answer has room for)
-- returns: for each id, as far as there is room, the place of its record, or false
-- spec: HOLD-1, HOLD-2
jobs.fetch(args.ids)
for _, id in ipairs(args.ids) do
  local job = jobs.get(id)
  if job and job.state ~= 'ready' and job.state ~= 'held' then
    local told = 'Job ' .. id .. ' is ' .. job.state .. '; only a ready job can be held.'
    step.refuse('Conflict', {message = told, reason = 'state'})
  end
end
for _, id in ipairs(args.ids) do
  local job = jobs.get(id)
  if job and job.state == 'ready' then holding.keep(job, rows.with(job, {held = 'operator'}), {}) end
end
return pages.told(args.ids, args.bytes)
