-- put_limits: store limits by name, all of them or none; what is left of each goes along.
-- flags: allow-oom
-- args: limits (LimitSpec), absent_only, looked (names of limits at all of whose parts `reshape` has looked, each true)
-- returns: limits (each as it stands), and large (names of those whose parts are to follow, by `reshape`); or, where nothing
--   was done: busy (the name of one whose parts still follow an earlier change), look (one at whose parts nobody has looked)
-- spec: LIMIT-1, LIMIT-2, LIMIT-3
local function check_by(known, spec)
  if not known or known.by == spec.by then return end
  local goes = known.by and 'goes by ' .. known.by or 'is one for all'
  local text = 'Limit "' .. spec.name .. '" ' .. goes .. ', which never changes; make one of another name.'
  step.refuse('Conflict', {message = text, reason = 'by'})
end

local wanted, names, shaped, answers, large, room = {}, {}, {}, {}, {}, bounds.MAX_SWEEP
for _, spec in ipairs(args.limits) do
  setmetatable(spec, defaults.LimitSpec)
  local known = wanted[spec.name] or books.limit(spec.name)
  if not known or not args.absent_only then
    check_by(known, spec)
    if not wanted[spec.name] then names[#names + 1] = spec.name end
    wanted[spec.name] = spec
  end
end
for place, name in ipairs(names) do
  local old = books.limit(name)
  if old and shaping.goes_on(name) then return {busy = name} end
  local many = old and shaping.many(name) or 0
  local parts_follow = many > room
  if parts_follow and not args.looked[name] then return {look = name} end
  if parts_follow then large[#large + 1] = name else room = room - many end
  shaped[place] = old and shaping.reshape(old, wanted[name], parts_follow) or {}
end
for _, name in ipairs(large) do shaping.begin(books.limit(name)) end
for place, name in ipairs(names) do
  books.put_limit(name, wanted[name])
  shaping.put_parts(name, shaped[place])
end
for place, spec in ipairs(args.limits) do answers[place] = books.limit(spec.name) end
return {limits = answers, large = large}
