-- enqueue: store a batch of jobs whole or not at all.
-- args: batch (specs of jobs without what is as by default; `payload` is the place of its bytes), parent (the lease of
--   the run that spawns them, or nil)
-- returns: for each {job_id, state, existed, by, gone}, without what is nothing
-- spec: ENQ-1, ENQ-2, ENQ-3, ENQ-4, ENQ-5, ENQ-6, ENQ-7, ENQ-8, FLOW-15, FLOW-16
return storing.enqueue(args.batch, args.parent)
