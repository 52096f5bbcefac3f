-- pause_key: start nothing of an ordered key from now on.
-- flags: allow-oom
-- args: queue, key (strings)
-- spec: KEY-11
pausing.pause_key(args.queue, args.key)
