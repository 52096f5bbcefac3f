-- admitting: first runs of jobs that limits and budgets bind, of a line from which nothing but its order decides who goes next.
--
-- What the pieces for all work out anew for each job, who is next, what it needs, what is left, and what is written of it, is
-- worked out once here for those that are alike (`shapes`), and kept until all have begun: limits and shared budgets are changed
-- in place, and rows are written as texts in which only ids differ. Who does not fit, or is anything else than such a job, is
-- left to `dispatch`, from which nothing here decides otherwise.
-- spec: CLAIM-1, CLAIM-7, CLAIM-11, FAIR-1, CALL-1, BUDGET-1, LEASE-3

local NOTHING = {}

-- What is left of limits and shared budgets, by their specs, as those that have begun leave it; to be written.
local limits_left, budgets_left

local function limit_left(bound)
  local found = limits_left[bound.spec]
  if not found then
    found = {bound = bound, state = rows.with(standing.state_of(bound), NOTHING)}
    limits_left[bound.spec] = found
  end
  return found
end

local function budget_left(spec)
  local found = budgets_left[spec]
  if not found then
    local state = drawing.state_of(spec)
    found = {spec = spec, state = rows.with(state, {held = rows.with(state.held, NOTHING)})}
    budgets_left[spec] = found
  end
  return found
end

-- Write what is left.
local function write_left()
  for _, one in pairs(limits_left) do
    if one.taken then books.put_limit_state(one.bound.spec.name, one.bound.key, one.state) end
  end
  for _, one in pairs(budgets_left) do
    if one.taken then books.put_budget_state(one.spec.id, one.state) end
  end
  limits_left, budgets_left = {}, {}
end

-- What is taken of each limit, or nil where one has parts, or takes more than is counted here.
local function takes_of(bound, parts)
  local found = {}
  for place, one in ipairs(bound) do
    local spec, part = one.spec, parts[place]
    part.slot = spec.concurrency ~= nil or nil
    local taking = not spec.by and limits.taking(spec, part)
    if not taking then return nil end
    found[place] = {bound = one, taking = taking}
  end
  return found
end

-- What is drawn from a budget that each job has for itself; nil where that does not fit into a new one without windows.
local function own_draw(plan, spec, amounts)
  local empty = setmetatable({window_ms = 0}, defaults.BudgetState)
  if spec.window or not budgets.fits(spec, empty, amounts) then return nil end
  plan.own = shapes.masked(rows.stored('budgets', spec.id) or '', plan.id)
  plan.own_state = cmsgpack.pack(budgets.drawn(empty, amounts))
  return setmetatable({budget = spec.id, window_ms = 0, held = amounts}, defaults.Draw)
end

-- What is drawn from each budget, and, in `plan`, what to look at of them; nil where the pieces for all have to decide.
local function draws_of(plan, chain, want)
  local draws = {}
  for place, spec in ipairs(chain) do
    local amounts = budgets.amounts(spec, want.need, want.prices)
    if spec.id == shapes.budget(plan.id) then
      draws[place] = own_draw(plan, spec, amounts)
    else
      local window_ms = drawing.state_of(spec).window_ms
      plan.shared[#plan.shared + 1] = {spec = spec, amounts = amounts}
      draws[place] = setmetatable({budget = spec.id, window_ms = window_ms, held = amounts}, defaults.Draw)
    end
    if not draws[place] then return nil end
  end
  return draws
end

-- What all jobs of a shape take when they begin, and what is written of it; false where the pieces for all have to decide.
local function planned(shape)
  local record = shape.record
  local ask, chain = planning.ask_of(record), drawing.chain(record)
  local want, priced = ask.want, drawing.in_money(chain)
  if #ask.bound == 0 and #chain == 0 or planning.oversized(ask.bound, ask.parts, want.need) then return false end
  if priced and want.need.model ~= '' and next(want.prices) == nil then return false end
  local plan = {id = record.id, shared = {}, takes = takes_of(ask.bound, ask.parts)}
  local draws = plan.takes and draws_of(plan, chain, want)
  if not draws then return false end
  local found = {need = want.need, prices = want.prices, cost = ask.cost, cost_limit = ask.cost_limit}
  local text = cmsgpack.pack(planning.reservation(record, 1, found, ask.parts, #draws > 0 and draws or nil))
  plan.reservation = shapes.pieces(text, record.id)
  plan.cost = ask.cost ~= 0 and ask.cost or charging.cost(NOTHING, ask.cost_limit)
  return plan
end

local function plan_of(shape)
  if shape.plan == nil then shape.plan = planned(shape) end
  return shape.plan
end

-- Whether limits and budgets have room for a job of a plan.
local function has_room(plan, id)
  if plan.own then
    local own = shapes.budget(id)
    local text = rows.stored('budgets', own)
    if not text or shapes.masked(text, id) ~= plan.own or rows.has('budget_states', books.window(own, 0)) then return false end
  end
  for _, one in ipairs(plan.takes) do
    if not limits.has_room(limit_left(one.bound).state, one.taking) then return false end
  end
  for _, one in ipairs(plan.shared) do
    if not budgets.fits(one.spec, budget_left(one.spec).state, one.amounts) then return false end
  end
  return true
end

-- Take what a job needs, and write down that it has been reserved.
local function take(plan, id)
  for _, one in ipairs(plan.takes) do
    local left = limit_left(one.bound)
    limits.change(left.state, one.taking)
    left.taken = true
  end
  for _, one in ipairs(plan.shared) do
    local left = budget_left(one.spec)
    budgets.hold(left.state, one.amounts)
    left.taken = true
  end
  if plan.own then ledger.put_budget_state(shapes.budget(id), plan.own_state) end
  ledger.open_run(id, table.concat(plan.reservation, id))
end

-- What a job says that is not plain, and its record; nil of one that nothing but limits and budgets keeps from that.
local function shape_of(id)
  local text = plain.limited(id)
  local at = text and moulds.named_at(text)
  return at and shapes.of(id, text, at), text
end

-- Begin the run of one job; whether that has been done, what it cost, and whether there is no room for its payload.
local function begin_one(id, given)
  local shape, text = shape_of(id)
  local plan = shape and plan_of(shape)
  if not plan or not has_room(plan, id) then return false end
  local record = shape.record
  local after, bytes, waited_ms = moulds.begin_whole(text, given.owner, record.lease_ms, given.room)
  if not after then return false, 0, bytes end
  take(plan, id)
  plain.start(id, after, step.now_ms + record.lease_ms, bytes, record.queue, record.task, waited_ms)
  return true, plan.cost
end

-- Read what is kept of the budgets that jobs may have for themselves.
local function fetch(ids, first, last)
  local names, states = {}, {}
  for place = first, last do
    local id = ids[place]
    local text = plain.limited(id)
    if text and string.find(text, shapes.budget(id), 1, true) then
      names[#names + 1] = shapes.budget(id)
      states[#states + 1] = books.window(names[#names], 0)
    end
  end
  rows.fetch('budgets', names)
  rows.fetch('budget_states', states)
end

-- Let the service of a line rise by what its jobs have cost, and these leave their lane.
local function follow(spot, begun, costs)
  if spot.pool == fairness.PLAIN then return lanes.take_first(spot, begun) end
  local line, weight = lanes.line(spot.queue, spot), books.weight(spot.tenant)
  local service, rises = line.service, {}
  for _, cost in ipairs(costs) do
    rises[cost] = rises[cost] or fairness.risen(0, cost, weight)
    service = service + rises[cost]
  end
  lanes.put_line(spot.queue, rows.with(line, {service = service}))
  lanes.take_first(spot, begun)
  local pool = lanes.pool(spot.queue, spot.pool)
  lanes.put_pool(rows.with(pool, {served = fairness.with_credit(pool.served, spot.band, service)}))
end

-- Begin the runs of the first jobs of a line, at most so many, as long as that is decided by what they need alone. `given` is what
-- the claim gives (`claim`). The answer is how many, and whether the claim has no room for the payload of the next.
function admitting.begin(spot, count, given)
  local request = given.request
  if #request.lease_id > records.LONG or #request.worker > records.LONG or counters.get('waiting_calls') > 0 then return 0, false end
  given.owner = given.owner or moulds.owner(request.lease_id, request.worker)
  local ids, first = lanes.ahead(spot)
  local last, costs, over = math.min(#ids, first + count - 1), {}, false
  if not ids[first] or not shape_of(ids[first]) then return 0, false end
  limits_left, budgets_left = {}, {}
  fetch(ids, first, last)
  for place = first, last do
    local done, cost, full = begin_one(ids[place], given)
    if not done then
      over = full or false
      break
    end
    costs[#costs + 1] = cost
    given.leased[#given.leased + 1] = ids[place]
  end
  plain.count()
  write_left()
  if #costs > 0 then follow(spot, #costs, costs) end
  return #costs, over
end

local function has_credit(pool)
  for _, credit in ipairs(pool.credits) do
    if credit ~= 0 then return true end
  end
  return false
end

-- The one line of a queue's one open pool, of which no other band has jobs in lanes, and in which nobody waits for room; nil where
-- that is not so. Nothing but the order of the line decides there who goes next.
function admitting.only_line(queue)
  local names = zsets.read('ZRANGE', 'open_pools:' .. queue, 0, 1)
  if #names ~= 1 or #lanes.plain_bands(queue) > 0 then return nil end
  local pool, bands = lanes.pool(queue, names[1]), lanes.bands(queue, names[1])
  if #bands ~= 1 or pool.wake_at_ms ~= 0 or pool.head ~= '' or has_credit(pool) then return nil end
  local spot = lanes.spot(queue, names[1], bands[1], '')
  if #zsets.read('ZRANGE', spot.open, 0, 1) ~= 1 then return nil end
  return lanes.next_spot(queue, names[1], bands[1])
end
