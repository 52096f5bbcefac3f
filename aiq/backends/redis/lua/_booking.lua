-- booking: what is taken of limits and budgets: by a job before it runs, and by each call that it makes.
--
-- As aiq/rules/booking.py: each function looks first, and takes only when everything fits. An answer of `acquire` has
-- the fields of its class in Python, and the name of that as `is`.
-- spec: chapters 10 and 11

local NOTHING = {}

-- What was assumed of a call of which nobody said it is set aside, and must not cut its answer. spec: BUDGET-8
local function admitted(need)
  return {is = 'Admitted', max_output = not need.open_ended and need.max_output or nil}
end

local function check_fits(estimate, model, name)
  local spec = books.limit(name)
  if not spec then step.refuse('UnknownLimit', {name, books.limit_names()}) end
  if not estimate then return end
  local part = charging.part(spec, '', estimates.declared(estimate, model))
  if limits.never_fits(spec, part) then step.refuse('NeverFits', {planning.too_large(spec, part)}) end
end

local function check_budgets(spec, models)
  for _, name in ipairs(spec.budgets) do
    if not books.budget(name) then
      local text = 'No budget "' .. name .. '" is stored. Store it with `queue.admin.put_budget` first.'
      step.refuse('NotFound', {spec.id, text})
    end
  end
  local chain = drawing.own_chain(spec)
  if #chain > bounds.MAX_CHAIN then
    local advice = 'Let the job draw from fewer budgets, or give them fewer parents.'
    step.refuse('TooLarge', {'chain of budgets', #chain, bounds.MAX_CHAIN, advice})
  end
  local priced = drawing.in_money(chain)
  if not priced then return end
  local said = spec.estimate and spec.estimate.model or ''
  for _, model in ipairs(models) do
    if model == '' then model = said end
    if model ~= '' and not next(drawing.prices_of(model, step.now_ms)) then
      step.refuse('PriceUnknown', {model, priced.id})
    end
  end
end

-- Refuse a job that could never run as it is, on any of its routes: it names a limit or a budget that is not stored, or
-- needs more of a limit than that ever gives, or is to draw from too many budgets, or from one in money without a price.
-- Writes nothing. spec: CALL-17, CALL-18, HOLD-8
function booking.check_at_enqueue(spec)
  local models = {}
  for place, route in ipairs(spec.routes) do
    models[place] = route.model or ''
    for _, name in ipairs(route.limits or NOTHING) do check_fits(spec.estimate, models[place], name) end
  end
  if #models == 0 then
    models[1] = ''
    for _, name in ipairs(spec.limits) do check_fits(spec.estimate, '', name) end
  end
  if #spec.budgets > 0 then check_budgets(spec, models) end
end

-- What a ready job counts for in order and credits. spec: chapter 12, cost
function booking.quote(record)
  -- Nothing counts the tokens of a job without limits.
  if #jobs.taken_limits(record) == 0 then return charging.JOB end
  local ask = planning.ask_of(record)
  return planning.resumes(record) and charging.cost(NOTHING, ask.cost_limit) or ask.cost
end

-- What the calls count for that go before a ready job, and not before those of the band that it displaces, on the limit
-- that its cost is counted on. spec: CALL-5, BAND-2
function booking.ahead(record, displaced)
  local name = planning.cost_limit(record)
  if not name then return 0 end
  local place, sum = books.place(name, ''), 0
  for _, one in ipairs(standing.before(books.waiting(name, ''), record.band)) do
    local needs = one.limits[place]
    if one.band > displaced then sum = sum + needs[2] + needs[3] end
  end
  return sum
end

-- Reserve for one more call of a running job, whose lease the caller has found to be live; all of it, or nothing.
--
-- One that must wait is put in line. After `Admitted` the caller sets the record's `opened_calls`. A request is
-- {number, limits, estimate, inside}. spec: CALL-1, CALL-3 to CALL-8, BUDGET-8
function booking.acquire(record, request)
  local known = books.reservation(record.id, record.fence, request.number)
  if known then return admitted(known.need) end
  local found = calls.plan(record, request)
  if found.plan then
    calls.open_call(record, request.number, found)
    return admitted(found.plan.need)
  end
  if found.is ~= 'MustWait' then calls.leave_line(record.id, record.fence, request.number) end
  return found
end
