-- purge: let jobs go before their time, because a person says so; each that may go as the storage stands.
-- flags: allow-oom
-- args: ids
-- returns: for each {state, gone}: the state of the job, nothing where none is known, and whether it is gone now
-- spec: PURGE-1, PURGE-2, PURGE-3
local going, stays, answers = {}, {}, {}
jobs.fetch(args.ids)
rows.fetch('tombstones', args.ids)
for place, id in ipairs(args.ids) do
  local job, stone = jobs.get(id), tombstones.of(id)
  if job and stays[id] == nil then
    stays[id] = not gone.may_go(job)
    if not stays[id] then going[#going + 1] = job end
  end
  answers[place] = {state = (job or stone or {}).state, gone = stays[id] == false or not job and stone ~= nil}
end
for _, job in ipairs(going) do gone.gone(job) end
return answers
