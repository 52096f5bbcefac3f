-- upkeep: do a bounded amount of whatever is due, at most `limit` of each kind, oldest first, in this order.
-- flags: allow-oom
-- args: limit
-- returns: what was done (Upkept)
-- spec: TIME-4, TIME-7, TIME-8, LIVE-2, CANCEL-5, SIG-8, FAN-8, ROUTE-5, HOLD-4, DEADLINE-3, WORK-4
local limit, done = args.limit, {}
done.overdue = sweeps.end_overdue(limit)
done.promoted = sweeps.promote(limit)
done.revoked = sweeps.revoke(limit)
done.timed_out = sweeps.time_out(limit)
done.cancelled = sweeps.end_graces(limit)
done.outbox = outbox.apply_outbox(limit)
done.rerouted = sweeps.lose_patience(nil, limit)
done.unheld = holding.go_on_letting_go(limit)
if parked.left_over() then parked.go_on() end
local more = shaping.go_on_with_any(limit)
more = forgetting.forget(limit) or more
more = register.forget(limit) or more
more = deaths.forget_groups(limit) or more
done.schedules = math.min(limit, zsets.read('ZCOUNT', 'due_schedules', '-inf', digits(step.now_ms)))
done.purged = purge.purge(limit)
local over = trim.trim(limit)
over = trim_jobs.trim_jobs(limit) or over
over = tombstones.forget_ids(limit) or over
over = purge.anything_over() or over
done.next_due_ms = more and 0 or sweeps.next_due_ms()
if over then done.next_due_ms = retention.soon(done.next_due_ms) end
return done
