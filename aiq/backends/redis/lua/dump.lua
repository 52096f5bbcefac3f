-- dump: read one page of everything.
-- looks
-- flags: allow-oom
-- args: walk (its number, from 0), place, limit, bytes (how many bytes one page has room for)
-- returns: records ({kind, fields, place of bytes} each), walk and place of the next page, if there is one; storage_id,
--   in whose log the cursors of events count ('' if none was told yet)
-- spec: MOVE-7
local found, walk, place = dumping.page(args.walk, args.place, args.limit, args.bytes)
return {records = found, walk = walk, place = place, storage_id = rows.get('counters', 'storage_id') or ''}
