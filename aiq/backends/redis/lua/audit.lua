-- audit: look for anything that a clause forbids, in one slice of the storage.
-- looks
-- flags: allow-oom
-- args: part (its number, from 1), cursor (where in it; '' at first), slice (about how many rows to look at); or names, of
--   sorted sets whose sizes are taken off; or lane (that of a plain pool), rank (of its first shelf) and slice (how many)
-- returns: violations (lists of clause, job and text), part and cursor, or rank (where to go on; nothing at the end), sums (by kind
--   and name, with a NUL between: what is found of something less what is stored of it), positions (those of ready jobs,
--   with their ids), shut and open (see audits), version (which changes when anything happens)
-- spec: STATE-3
local part, cursor, rank
if args.names then
  audits.measure(args.names)
elseif args.lane then
  rank = audits.measure_shelves(args.lane, args.rank, args.slice)
else
  part, cursor = audits.look(args.part, args.cursor, args.slice)
end
return {
  violations = audits.violations, part = part, cursor = cursor, rank = rank, sums = audits.sums, positions = audits.positions,
  shut = audits.shut, open = audits.open,
  version = table.concat({digits(counters.get('events')), digits(counters.get('jobs'))}, ' '),
}
