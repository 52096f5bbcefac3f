-- get: read jobs by id, whole.
-- flags: allow-oom,no-writes
-- looks
-- args: ids (strings), bytes (how many bytes of payloads and results one answer has room for)
-- returns: for each id in the order asked, as far as there is room, the place of its record, or false
-- spec: STORE-9, STORE-10, STORE-11, STORE-16
jobs.fetch(args.ids)
return pages.told(args.ids, args.bytes)
