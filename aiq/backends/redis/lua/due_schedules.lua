-- due_schedules: read the schedules that somebody has to plan or fire, by (due instant, name).
-- flags: allow-oom,no-writes
-- looks
-- args: limit, bytes (how many bytes of templates one answer has room for)
-- returns: now_ms; found: for each {status, the place of the bytes of its template}
-- spec: SCHED-5, SCHED-6
local names = zsets.read('ZRANGE', 'due_schedules', '-inf', digits(step.now_ms), 'BYSCORE', 'LIMIT', 0, args.limit)
rows.fetch('schedules', names)
return {now_ms = step.now_ms, found = calendar.page(names, args.bytes)}
