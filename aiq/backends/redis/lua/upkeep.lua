-- upkeep: do a bounded amount of whatever is due, at most `limit` of each kind, oldest first.
-- flags: allow-oom
-- args: limit
-- returns: what was done (Upkept)
-- spec: TIME-4, TIME-7, TIME-8, LIVE-2, CANCEL-5, SIG-8, FAN-8, ROUTE-5, HOLD-4, DEADLINE-3, WORK-4
local limit = args.limit
local more = register.forget(limit)
local over = tombstones.forget_ids(limit)
local due_ms = more and 0 or nil
if over then due_ms = retention.soon(due_ms) end
return {next_due_ms = due_ms}
