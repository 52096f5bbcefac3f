-- moved: where the storage goes on, if it has moved.
-- flags: allow-oom,no-writes
-- looks
-- returns: an address, or nothing
-- spec: MOVE-8
local shut = counters.get('shut')
return shut ~= 0 and shut.moved_to or nil
