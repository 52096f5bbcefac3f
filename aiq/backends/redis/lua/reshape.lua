-- reshape: let more parts of a limit follow its new numbers; or, with `spec`, look whether they could follow these.
-- flags: allow-oom
-- args: name; spec (LimitSpec), after (the part behind which to look)
-- returns: whether there are more parts; or the last part that was looked at, nothing where there are no more
-- spec: LIMIT-1, LIMIT-13
if args.spec then return shaping.look(setmetatable(args.spec, defaults.LimitSpec), args.after) end
return shaping.go_on(args.name, bounds.MAX_SWEEP)
