-- load: take in some records, and open the storage after the last.
-- looks
-- args: move_id, records ({kind, fields, place of its first bytes} each), last (whether these were all)
-- bytes: those of jobs, steps, signals, items and templates
-- returns: nothing
-- spec: MOVE-1, MOVE-2, MOVE-4, MOVE-5, MOVE-9
if not loading.begin(args.move_id) then return end
loading.take(args.records)
if args.last then loading.finish(args.move_id) end
