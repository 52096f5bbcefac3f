-- get_limits: read limits with what is left of them; each is told once at least, and of the parts as many as there is
-- room for.
-- flags: allow-oom,no-writes
-- looks
-- args: names, after, limit
-- returns: LimitStatus of each
-- spec: LIMIT-14
local function asked()
  local found = {}
  local names = args.names
  if #names == 0 then
    local from = args.after == '' and '-' or '(' .. args.after
    names = zsets.read('ZRANGE', 'limit_names', from, '+', 'BYLEX', 'LIMIT', 0, args.limit)
  end
  rows.fetch('limits', names)
  for _, name in ipairs(names) do
    local spec = books.limit(name)
    if spec and #found < args.limit then found[#found + 1] = spec end
  end
  return found
end

-- A limit, or the first parts of one with a `by`, by key; without amounts while there are none.
local function tell(found, spec, room)
  local parts = spec.by and books.parts(spec.name, room) or {''}
  if #parts == 0 then found[#found + 1] = {spec = spec} end
  for _, part in ipairs(parts) do
    local waiting = #books.waiting(spec.name, part)
    found[#found + 1] = limits.status(spec, part, books.limit_state(spec.name, part), step.now_ms, waiting)
  end
end

local found, specs = {}, asked()
for place, spec in ipairs(specs) do tell(found, spec, args.limit - #found - (#specs - place)) end
return found
