-- get_schedules: read schedules by name, or all behind a name.
-- flags: allow-oom,no-writes
-- looks
-- args: names, after, limit, bytes (how many bytes of templates one answer has room for)
-- returns: for each that is stored {status, the place of the bytes of its template}
-- spec: SCHED-20, STORE-13
local names = args.names
if #names == 0 then
  local from = args.after == '' and '-' or '(' .. args.after
  names = zsets.read('ZRANGE', 'schedule_names', from, '+', 'BYLEX', 'LIMIT', 0, args.limit)
end
rows.fetch('schedules', names)
local stored = {}
for _, name in ipairs(names) do
  if calendar.get(name) and #stored < args.limit then stored[#stored + 1] = name end
end
return calendar.page(stored, args.bytes)
