-- enqueue: store a batch of jobs whole or not at all: everything is checked before anything is written.
-- args: batch (specs of jobs without what is as by default), parent (the lease of the run that spawns them, or nil)
-- bytes: the payload of each
-- returns: for each {job_id, state, existed, by, gone}, without what is nothing
-- spec: ENQ-1, ENQ-2, ENQ-3, ENQ-4, ENQ-5, ENQ-6, ENQ-7, ENQ-8, FLOW-15, FLOW-16
local batch, parent = args.batch, args.parent
storing.fetch(batch, parent)
storing.check_parent(parent)
local taken = storing.look_up(batch)
local fresh = storing.check_ids(batch, taken, parent)
storing.check_children(batch, parent)
local created = storing.check_admission(batch, fresh, taken)
storing.check_order(fresh)
if not parent then storing.check_room(fresh) end
return storing.store(batch, parent, taken, created)
