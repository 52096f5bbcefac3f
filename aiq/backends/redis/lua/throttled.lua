-- throttled: pause limits for everybody after a provider's 429, and slow them down.
-- flags: allow-oom
-- args: throttles (Throttle)
-- spec: LIMIT-10, LIMIT-11
for _, one in ipairs(args.throttles) do closing.throttle(one) end
