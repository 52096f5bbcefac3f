-- read_events: read one page of the log.
-- looks
-- flags: allow-oom
-- args: after (number behind which, or nil: from the oldest), now (behind the newest), owner (the storage in whose log
-- `after` counts), limit, storage_id (what the id of the storage shall be if it has none yet)
-- returns: storage_id, and where the cursor is of this storage: events (as `log.told`), number (of the last one told),
-- lost, more
-- spec: EVENT-1, EVENT-3, EVENT-4, EVENT-8, EVENT-9
local id, last, trimmed = log.storage_id(args.storage_id), counters.get('events'), log.trimmed()
if args.owner and (args.owner ~= id or args.after > last) then return {storage_id = id, last = last} end
local number = args.now and last or args.after or trimmed
local found = log.after(number, args.limit)
local stop = math.max(number, trimmed) + #found
return {
  storage_id = id, last = last, events = log.told(found), number = stop, lost = number < trimmed, more = stop < last,
}
