-- enqueue: store a batch of jobs whole or not at all.
-- args: batch (specs of jobs without what is as by default; `payload` is the place of its bytes), simple (jobs alike as
--   `plain.enqueue` takes them, in the place of a batch, or nil), parent (the lease of the run that spawns them, or nil)
-- returns: for each {job_id, state, existed, by, gone}, without what is nothing; true where all are new and ready
-- spec: ENQ-1, ENQ-2, ENQ-3, ENQ-4, ENQ-5, ENQ-6, ENQ-7, ENQ-8, FLOW-15, FLOW-16
if args.simple then
  if plain.enqueue(args.simple) then return true end
  args.batch = {}
  for _, alike in ipairs(args.simple) do plain.tell_apart(alike, args.batch) end
end
return storing.enqueue(args.batch, args.parent)
