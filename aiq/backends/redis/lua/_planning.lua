-- planning: what a job, or a call of one, must find room for, before anything is taken.
--
-- As aiq/rules/planning.py; what its answers are is known by their fields:
--   a Plan     {need, takings, drafts, prices, cost, cost_limit}
--   Blocked    {limit, key, by, wait_ms, seen}: `wait_ms` is nil until it is told, `by` where the limit has none
--   Short      {budget, need, text}, Hopeless {reason, by, text}, as `drawing` makes them
-- A taking is {bound, state, part}. Of `drawing` is expected: `chain(record)`, `want(need)` as {need, prices, …},
-- `fit(chain, want)` as {want, drafts} or Short or Hopeless, and `hold(drafts)`.
-- spec: chapters 10 and 11

local NOTHING = {}

-- A part that takes a unit of concurrency with it.
function planning.with_unit(part)
  return rows.with(part, {slot = true})
end

-- What is to be taken of the limits, or, as second answer, the Blocked that says which of them has no room. The parts
-- are the caller's own: each gets its unit of concurrency here.
local function takings_of(record, bound, parts)
  local takings, rooms = {}, {}
  for place, one in ipairs(bound) do
    local spec, part = one.spec, parts[place]
    local state = standing.state_of(one)
    local unit = spec.concurrency ~= nil
    local waiting = books.waiting(spec.name, one.key)
    if #waiting > 0 then waiting = standing.before(waiting, record.band) end
    local wait_ms = standing.wait_ms(one, state, part, unit, waiting)
    if wait_ms ~= 0 then rooms[#rooms + 1] = {bound = one, wait_ms = wait_ms} end
    part.slot = unit or nil
    takings[place] = {bound = one, state = state, part = part}
  end
  local worst = standing.longest(rooms)
  if not worst then return takings end
  local spec = worst.bound.spec
  return nil, {limit = spec.name, key = worst.bound.key, by = spec.by, wait_ms = worst.wait_ms, seen = takings}
end

-- What a call of some need asks of these limits: its part of each, and what that counts for.
local function asking(bound, want)
  local parts, specs = {}, {}
  for place, one in ipairs(bound) do
    parts[place] = charging.part(one.spec, one.key, want.need)
    specs[place] = one.spec
  end
  local name = charging.cost_limit(specs)
  return {bound = bound, want = want, parts = parts, cost = charging.cost(parts, name), cost_limit = name}
end

-- What a call of a job needs, with what was learned where nothing was declared. spec: EST-1
function planning.need_of(record, estimate, model)
  if (model or '') == '' then model = jobs.model(record) end
  return estimates.need(estimate, books.learned(record.task, model), model)
end

-- What a ready job asks for, on its present route.
function planning.ask_of(record)
  return asking(standing.of_job(record), drawing.want(planning.need_of(record, record.estimate)))
end

-- Whether the next run of a job reserves units of concurrency only. spec: CALL-16
function planning.resumes(record)
  return record.resumes and record.opened_calls
end

-- The limit on which a job's pool counts costs.
function planning.cost_limit(record)
  local specs = {}
  for _, name in ipairs(jobs.taken_limits(record)) do specs[#specs + 1] = books.limit(name) end
  return charging.cost_limit(specs)
end

-- The plan of a job that nothing bounds.
local function free()
  return {need = setmetatable({}, defaults.Need), takings = NOTHING, drafts = NOTHING, prices = NOTHING, cost = charging.JOB}
end

-- The plan of a job that goes on after a wait: it takes its units of concurrency alone.
local function resumed(record, bound)
  local parts = {}
  for place, one in ipairs(bound) do
    parts[place] = setmetatable({limit = one.spec.name, key = one.key}, defaults.Part)
  end
  local takings, blocked = takings_of(record, bound, parts)
  if blocked then return blocked end
  local need = setmetatable({model = jobs.model(record)}, defaults.Need)
  return {need = need, takings = takings, drafts = NOTHING, prices = NOTHING, cost = 0}
end

-- Say by how much a part is too large for its limit.
function planning.too_large(spec, part)
  local most = charging.most_at_once(spec, spec.tokens or 0)
  return 'A call needs ' .. figures.counted(part.charge, 'token') .. ' of limit "' .. spec.name
    .. '" at once, which gives at most ' .. figures.grouped(most)
    .. '. Ask for less, or raise the limit or its burst.'
end

-- A Hopeless for the first limit that can never give what was declared; nil where there is none. spec: CALL-17
function planning.oversized(bound, parts, need)
  if not need.declared then return nil end
  for place, one in ipairs(bound) do
    if limits.never_fits(one.spec, parts[place]) then
      return {reason = 'size', by = one.spec.name, text = planning.too_large(one.spec, parts[place])}
    end
  end
  return nil
end

-- Look for everything that a ready job's first call needs: a Plan, Blocked, Short or Hopeless. Writes nothing.
function planning.plan(record)
  local bound, chain = standing.of_job(record), NOTHING
  if record.tenant ~= '' or #record.budgets > 0 then chain = drawing.chain(record) end
  if #bound == 0 and #chain == 0 then return free() end
  if planning.resumes(record) then return resumed(record, bound) end
  local want = drawing.want(planning.need_of(record, record.estimate))
  -- It has gone on after a wait, and never said that it calls a model: its children's budget may well be used up.
  if record.resumes and #bound == 0 and not want.need.declared then return free() end
  local fit = drawing.fit(chain, want)
  if not fit.want then return fit end
  local ask = asking(bound, fit.want)
  local too_big = planning.oversized(bound, ask.parts, fit.want.need)
  if too_big then return too_big end
  local takings, blocked = takings_of(record, bound, ask.parts)
  if blocked then return blocked end
  return {
    need = fit.want.need,
    takings = takings,
    drafts = fit.drafts,
    prices = fit.want.prices,
    cost = ask.cost,
    cost_limit = ask.cost_limit,
  }
end

-- The reservation of a run that begins, for its first call.
function planning.reservation(record, fence, found, parts, draws)
  return setmetatable({
    job_id = record.id,
    fence = fence,
    call = 0,
    need = found.need,
    parts = parts,
    draws = draws,
    prices = next(found.prices) and found.prices or nil,
    cost = found.cost,
    cost_limit = found.cost_limit,
    opened_at_ms = step.now_ms,
  }, defaults.Reservation)
end

-- Take what was planned in this step, and tell what the job counts for in its order.
function planning.book(record, fence, found)
  if #found.takings == 0 and #found.drafts == 0 then return charging.JOB end
  local parts = {}
  for place, one in ipairs(found.takings) do
    local spec = one.bound.spec
    books.put_limit_state(spec.name, one.bound.key, limits.taken(spec, one.state, one.part))
    parts[place] = one.part
  end
  local draws = #found.drafts > 0 and drawing.hold(found.drafts) or nil
  books.open_run(planning.reservation(record, fence, found, parts, draws))
  if found.cost ~= 0 then return found.cost end
  return charging.cost(NOTHING, planning.cost_limit(record))
end

-- Write what is left of limits that refused somebody: how long it lasts was counted from there, and a limit that
-- nothing was taken of yet fills from there. spec: LIMIT-5
function planning.keep(seen)
  for _, one in ipairs(seen) do
    books.put_limit_state(one.bound.spec.name, one.bound.key, one.state)
  end
end
