-- calls: the calls that a run makes: what the first of them adopts, what each takes, and the line in which they wait.
--
-- A request is a map with the fields of `CallRequest`. What `plan` answers says in `is` which of four it is: 'Opening'
-- {plan, first}, 'MustWait', 'Exceeded' or 'Refused', each of these with the fields of its class. One that is refused
-- for an unknown limit has the `name` and the names that are `known` in the place of its text, which the caller makes.
-- spec: CALL-1, CALL-3 to CALL-7, CALL-19

local FIRST = 0

-- What a reservation has taken of a limit, or nil.
function calls.part_of(reservation, bound)
  for _, part in ipairs(reservation and reservation.parts or {}) do
    if part.limit == bound.spec.name and part.key == bound.key then return part end
  end
end

-- The first limit of whose concurrency the calls around this one have every unit: they end after it. spec: CALL-19
local function full_around(job, inside, bound)
  local is_inside, around = {}, {}
  for _, number in ipairs(inside) do is_inside[number] = true end
  for _, one in ipairs(books.open_reservations(job.id, job.fence)) do
    if is_inside[one.call] then around[#around + 1] = one end
  end
  for _, one in ipairs(bound) do
    local held = 0
    for _, reservation in ipairs(around) do held = held + (calls.part_of(reservation, one) and 1 or 0) end
    if one.spec.concurrency and held >= one.spec.concurrency then return one.spec end
  end
end

local function waits_for_itself(spec)
  local units = spec.concurrency == 1 and 'the only unit' or 'all ' .. figures.grouped(spec.concurrency) .. ' units'
  return 'The calls inside of which this one is asked for have ' .. units .. ' of limit "' .. spec.name .. '", and end '
    .. 'after it: it would wait for itself. Leave the block of one ctx.call before the next.'
end

-- Call 0, if nobody has adopted or used it yet, and it has reserved for such a call. spec: CALL-3
local function adopted(job, bound)
  local first, named = books.reservation(job.id, job.fence, FIRST), {}
  if not first or first.state ~= 'open' or first.cost == 0 or #first.used > 0 then return nil end
  for _, one in ipairs(bound) do named[one.spec.name] = true end
  local taken, missing = {}, false
  for _, part in ipairs(first.parts) do
    if not part.limit:find('^queue:') then taken[part.limit] = true end
  end
  if next(taken) == nil then return first end
  for name in pairs(named) do missing = missing or not taken[name] end
  return not missing and first or nil
end

-- What a first call did not say is what the job's estimate says of it.
local function filled(asked, estimate)
  if not estimate then return asked end
  local silent = not asked.output and not asked.max_output
  return {
    model = asked.model,
    input = asked.input or estimate.input,
    output = silent and estimate.output or asked.output,
    max_output = silent and estimate.max_output or asked.max_output,
    min_output = asked.min_output or silent and estimate.min_output or nil,
  }
end

-- What a part has more than another one.
local function more_than(part, own)
  if not own then return part end
  return rows.with(part, {
    requests = math.max(0, part.requests - own.requests),
    charge = math.max(0, part.charge - own.charge),
    rest = math.max(0, part.rest - own.rest),
  })
end

-- The place that a call has kept, if it has asked lately. spec: CALL-6
local function kept_place(job, number)
  local one = books.waiting_call(job.id, job.fence, number)
  if not one or step.now_ms - one.asked_at_ms > bounds.PLACE_KEPT_MS then return nil end
  return one.number
end

-- Whether one more call needs one more unit: a run holds as many as it has calls open, and those of its job's limits at
-- least once. spec: CALL-4
local function wants_unit(job, bound)
  if not bound.spec.concurrency then return false end
  local open, units = 0, 0
  for _, reservation in ipairs(books.open_reservations(job.id, job.fence)) do
    local part = calls.part_of(reservation, bound)
    if part then
      if reservation.call ~= FIRST then open = open + 1 end
      if part.slot then units = units + 1 end
    end
  end
  return open >= units
end

-- As `standing.wait_ms`; a call that adopts enough waits for nobody, but where a provider said that all must.
local function wait_ms(bound, state, part, unit, own, line)
  if not own then return standing.wait_ms(bound, state, part, unit, line) end
  local more = more_than(part, own)
  if more.requests > 0 or more.charge > 0 or more.rest > 0 or unit then
    return standing.wait_ms(bound, limits.returned(bound.spec, state, own), part, unit, line)
  end
  return math.max(0, state.frozen_until_ms - state.at_ms)
end

local function put_in_line(job, number, place, needs, told_ms)
  books.put_waiting({
    job_id = job.id,
    fence = job.fence,
    call = number,
    band = job.band,
    number = place or books.next_waiting_number(),
    limits = needs,
    asked_at_ms = step.now_ms,
    next_ms = told_ms and step.now_ms + told_ms or bounds.MAX_INSTANT_MS,
  })
end

local function with_limits(job, number, opening, bound, parts)
  local place = kept_place(job, number)
  local takings, rooms, needs = {}, {}, {}
  for index, one in ipairs(bound) do
    local part, state, own = parts[index], standing.state_of(one), calls.part_of(opening.first, one)
    local unit = wants_unit(job, one)
    local line = standing.before(books.waiting(one.spec.name, one.key), job.band, place)
    rooms[index] = {bound = one, wait_ms = wait_ms(one, state, part, unit, own, line)}
    takings[index] = {bound = one, state = state, part = unit and planning.with_unit(part) or part}
    local more = more_than(part, own)
    needs[books.place(one.spec.name, one.key)] = {more.requests, more.charge, more.rest, unit and 1 or 0}
  end
  local worst = standing.longest(rooms)
  if not worst then
    opening.plan.takings = takings
    return opening
  end
  planning.keep(takings)
  put_in_line(job, number, place, needs, worst.wait_ms)
  return {is = 'MustWait', limit = worst.bound.spec.name, key = worst.bound.key, wait_ms = worst.wait_ms}
end

local function names_of(request, job)
  local asked = #(request.limits or {}) > 0 and request.limits or jobs.taken_limits(job)
  local found, seen = {}, {}
  for _, name in ipairs(asked) do
    if not seen[name] then found[#found + 1] = name end
    seen[name] = true
  end
  return found
end

-- What a call may hold of the budgets, or why it may hold nothing of them.
local function fitting(need, chain, first)
  if need.model == '' and drawing.in_money(chain) then
    local told = 'A budget counts money, so say which model is called: model=….'
    return nil, {is = 'Refused', kind = 'price_unknown', text = told}
  end
  local fit = drawing.fit(chain, drawing.want(need), first and first.draws or {})
  if fit.is == 'Fit' then return fit end
  if fit.is == 'Hopeless' then return nil, {is = 'Refused', kind = 'price_unknown', text = fit.text} end
  local spec = fit.budget
  return nil, {is = 'Exceeded', budget = spec.id, on_exceeded = spec.on_exceeded, need = fit.need, text = fit.text}
end

-- Look for everything that a call needs. Takes nothing; a call that must wait is put in line.
function calls.plan(job, request)
  local names = names_of(request, job)
  for _, name in ipairs(names) do
    if not books.limit(name) then
      return {is = 'Refused', kind = 'unknown_limit', name = name, known = books.limit_names()}
    end
  end
  local bound = standing.named(job, names)
  local full = full_around(job, request.inside or {}, bound)
  if full then return {is = 'Refused', kind = 'own_units', text = waits_for_itself(full)} end
  local first, asked = adopted(job, bound), request.estimate or {}
  local estimate = first and filled(asked, job.estimate) or asked
  local fit, refusal = fitting(planning.need_of(job, estimate, asked.model or ''), drawing.chain(job), first)
  if not fit then return refusal end
  local need, parts = fit.want.need, {}
  for place, one in ipairs(bound) do parts[place] = charging.part(one.spec, one.key, need) end
  local too_large = planning.oversized(bound, parts, need)
  if too_large then return {is = 'Refused', kind = 'never_fits', text = too_large.text} end
  local name = planning.cost_limit(job)
  local sketch = {
    need = need,
    drafts = fit.drafts,
    prices = fit.want.prices,
    cost = charging.cost(parts, name),
    cost_limit = name,
  }
  return with_limits(job, request.number, {is = 'Opening', plan = sketch, first = first}, bound, parts)
end

-- A limit once a call has taken its part, or the difference to what it adopts.
local function after(taking, first)
  local spec, own = taking.bound.spec, calls.part_of(first, taking.bound)
  if not own then return limits.taken(spec, taking.state, taking.part) end
  local given = limits.returned(spec, taking.state, more_than(own, taking.part))
  return limits.taken(spec, given, more_than(taking.part, own))
end

-- Give back what a part took that was never sent; its unit stays. A job's start is never taken back from its queue's
-- rate. spec: CALL-3, QUEUE-2
local function give_back(part)
  local spec = books.limit(part.limit)
  if not spec then return end
  local bound = {spec = spec, key = part.key}
  local state = standing.state_of(bound)
  local given = part.limit:find('^queue:') and rows.with(part, {requests = none}) or part
  standing.put(bound, state, limits.returned(spec, state, given))
end

-- Leave call 0 with its units of concurrency alone, and with nothing that another call could adopt.
local function hand_over(first, found)
  local taken, parts, draws = {}, {}, {}
  for _, taking in ipairs(found.takings) do taken[books.place(taking.bound.spec.name, taking.bound.key)] = true end
  for place, part in ipairs(first.parts) do
    if not taken[books.place(part.limit, part.key)] then give_back(part) end
    parts[place] = rows.with(part, {requests = none, charge = none, rest = none})
  end
  for place, draw in ipairs(first.draws) do draws[place] = rows.with(draw, {held = none, spent = none}) end
  local need = usage.no_need(first.need.model)
  books.put_reservation(rows.with(first, {need = need, parts = parts, draws = draws, cost = 0}))
end

-- Take what was planned in this step, and what call 0 had of it or beside it into account.
function calls.open_call(job, number, opening)
  local found, first, parts = opening.plan, opening.first, {}
  for place, taking in ipairs(found.takings) do
    standing.put(taking.bound, taking.state, after(taking, first))
    parts[place] = taking.part
  end
  local draws = drawing.hold_instead(found.drafts, first and first.draws or {})
  if first then hand_over(first, found) end
  books.put_reservation(setmetatable({
    job_id = job.id,
    fence = job.fence,
    call = number,
    need = found.need,
    parts = parts,
    draws = draws,
    prices = found.prices,
    cost = found.cost,
    cost_limit = found.cost_limit,
    opened_at_ms = step.now_ms,
  }, defaults.Reservation))
  if books.waiting_call(job.id, job.fence, number) then books.drop_waiting(job.id, job.fence, number) end
  local more = found.cost - (first and first.cost or 0)
  if more ~= 0 then books.serve(job, more) end
end

-- Take a call that was not admitted, or all that a run has waiting, out of line, and let those behind go on.
function calls.leave_line(job_id, fence, number)
  if number and not books.waiting_call(job_id, fence, number) then return end
  local places, left = {}, books.drop_waiting(job_id, fence, number)
  if #left == 0 then return end
  for _, one in ipairs(left) do
    for place in pairs(one.limits) do places[place] = true end
  end
  for _, place in ipairs(order.names(places)) do books.freed(books.split_place(place)) end
end
