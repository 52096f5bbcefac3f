-- unhold: make held jobs ready, whatever they are held for, and open their routes again.
-- flags: allow-oom
-- args: ids, bytes (how many bytes of payloads and results one answer has room for)
-- returns: for each id, as far as there is room, the place of its record, or false
-- spec: HOLD-3, ROUTE-4
jobs.fetch(args.ids)
for _, id in ipairs(args.ids) do
  local job = jobs.get(id)
  if job and job.state == 'held' then holding.let_go(rows.with(job, {closed_routes = none})) end
end
return pages.told(args.ids, args.bytes)
