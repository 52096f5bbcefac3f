-- resume_key: start jobs of an ordered key again.
-- flags: allow-oom
-- args: queue, key (strings)
-- spec: KEY-11
pausing.resume_key(args.queue, args.key)
