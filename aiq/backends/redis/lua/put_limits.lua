-- put_limits: store limits by name, all of them or none; what is left of each goes along.
-- flags: allow-oom
-- args: limits (LimitSpec), absent_only
-- returns: each limit as it stands
-- spec: LIMIT-1, LIMIT-2, LIMIT-3
local function check_by(known, spec)
  if not known or known.by == spec.by then return end
  local goes = known.by and 'goes by ' .. known.by or 'is one for all'
  local text = 'Limit "' .. spec.name .. '" ' .. goes .. ', which never changes; make one of another name.'
  step.refuse('Conflict', {message = text, reason = 'by'})
end

local wanted, names, shaped, answers = {}, {}, {}, {}
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
  shaped[place] = old and shaping.reshape(old, wanted[name]) or {}
end
for place, name in ipairs(names) do
  books.put_limit(name, wanted[name])
  shaping.put_parts(name, shaped[place])
end
for place, spec in ipairs(args.limits) do answers[place] = books.limit(spec.name) end
return answers
