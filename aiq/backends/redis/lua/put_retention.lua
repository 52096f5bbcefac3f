-- put_retention: set how long, and how many of, what is over is kept.
-- flags: allow-oom
-- args: spec (RetentionSpec)
-- returns: nothing
-- spec: KEEP-3
retention.put(args.spec)
