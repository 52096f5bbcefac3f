-- pause_schedules: let schedules fire nothing.
-- flags: allow-oom
-- args: names
-- returns: for each {status, the place of the bytes of its template}, or false
-- spec: SCHED-17
local answers = {}
rows.fetch('schedules', args.names)
for place, name in ipairs(args.names) do
  local status = calendar.get(name)
  if status then calendar.put(schedules.paused(status)) end
  answers[place] = calendar.tell(name)
end
return answers
