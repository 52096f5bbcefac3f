-- leave: strike a worker off the register.
-- flags: allow-oom
-- args: worker (its name)
-- returns: nothing
-- spec: WORK-3
register.remove(args.worker)
