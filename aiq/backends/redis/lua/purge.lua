-- purge: let jobs go before their time, because a person says so; each that may go as the storage stands.
-- flags: allow-oom
-- args: ids
-- returns: for each {state, gone, again}: the state of the job, nothing where none is known, whether it is gone now, and
--   whether it may go and has more rows than one step removes
-- spec: PURGE-1, PURGE-2, PURGE-3
local known, may, going, answers = {}, {}, {}, {}
jobs.fetch(args.ids)
rows.fetch('tombstones', args.ids)
for _, id in ipairs(args.ids) do
  local job = jobs.get(id)
  if job and not known[id] then
    known[id] = job
    may[id] = gone.may_go(job)
    if may[id] then going[#going + 1] = job end
  end
end
local done = gone.all(going, bounds.MAX_PURGED_ROWS)
for place, id in ipairs(args.ids) do
  local job, stone = known[id], tombstones.of(id)
  answers[place] = {
    state = (job or stone or {}).state, gone = done[id] or not job and stone ~= nil, again = may[id] and not done[id],
  }
end
return answers
