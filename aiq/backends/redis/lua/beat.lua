-- beat: write down what a worker says of itself.
-- flags: allow-oom
-- args: beat (Beat)
-- returns: nothing
-- spec: WORK-1
register.put(args.beat)
