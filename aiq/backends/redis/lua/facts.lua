-- facts: what the storage stands on.
-- looks
-- flags: allow-oom,no-writes
-- returns: now_ms, newest_ms (the instant of the newest event, nil without one), moved_to, loading
-- spec: FACT-1, FACT-2, FACT-3
local shut = retire.shut()
local last = call('XREVRANGE', key('events'), '+', '-', 'COUNT', 1)[1]
local told = last and events.unpacked(last[2][2])
return {
  now_ms = step.now_ms, newest_ms = told and told[#told][7], moved_to = shut.moved_to,
  loading = shut.loading,
}
