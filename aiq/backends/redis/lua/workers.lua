-- workers: read workers in the order of their names.
-- looks
-- flags: allow-oom,no-writes
-- args: after (a name), limit
-- returns: workers (beat, started_at_ms, beat_at_ms), now_ms
-- spec: WORK-2, WORK-5
local names, found = register.names(args.after, args.limit), {}
rows.fetch('workers', names)
for place, name in ipairs(names) do found[place] = rows.get('workers', name) end
return {workers = found, now_ms = step.now_ms}
