-- delete_schedules: remove schedules; their jobs stay.
-- flags: allow-oom
-- args: names
-- spec: SCHED-19
for _, name in ipairs(args.names) do calendar.drop(name) end
