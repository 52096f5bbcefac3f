-- books: limits, budgets, prices, reservations and use, as rules read and write them within one step.
--
-- Rules name this piece where they have `books` in Python, and take none as an argument: `standing.put(bound, old, new)`.
-- Rows are never changed in place: copy one (`rows.with`) and put it. What is read here has its defaults, nested rows too.
--
-- Tables, by the ids of their rows (`books.place` and the like make them):
--   limits          a limit's name; those of queues' own settings are named "queue:NAME"
--   limit_states    books.place(name, part): the part is a tenant or key, '' of a limit without `by`
--   waiting         books.call(job_id, fence, number): a WaitingCall, whose `limits` are {requests, charge, rest, units}
--                   by books.place; waiting_runs: books.run(job_id, fence): the numbers of its calls that wait
--   budgets         an id: see `books.put_budget`; budget_parents: how many budgets name one as their parent
--   budget_states   books.window(budget_id, window_ms); budget_windows: an id: the windows over 0 that have a row
--   prices          a model: a list of {category, from_ms, usd_micros_per_million}, by category and instant
--   learned         books.task_model(task, model)
--   reservations    books.call(job_id, fence, number); open_calls: books.run(job_id, fence): the open ones' numbers
--   usage:OWNER     see consumption: what was used, by minute, model and category
--   queues, weights a queue's settings; what a tenant weighs, per mille
-- Sorted sets:
--   limit_names     names in their order, without those of queues; limit_parts:NAME the parts of one that goes by them
--   touched_parts   ids of limit_states with a part, by when they last changed
--   line:PLACE      ids of waiting, by band and number
--   budget_ids      ids in their order; touched_windows: ids of budget_states over 0, by when they last changed
--   grants:BUDGET   ids of grants, by the window in which they count (`books.grants`)
--   closed_calls    ids of reservations that are closed, by when they were; they are kept for a while
--   own_calls       ids of reservations but those of call 0, in their order, which is that of jobs
-- Counters: waiting_number the last place given, waiting_calls how many stand in line.
-- spec: LIMIT-1, CALL-1, CALL-5, CALL-6, CALL-13, BUDGET-1, EST-2, USAGE-1, FAIR-1, FAIR-5

local USUAL_WEIGHT = 1000
-- Places of all bands fit into a number: a band's begin at a multiple of it.
local BAND = 2 ^ 48
local NUL = '\0'

-- Numbers as they stand in ids, behind a name or before it: those of most jobs of a step are the same.
local trailing = setmetatable({}, {__index = function(known, number)
  known[number] = NUL .. digits(number)
  return known[number]
end})
local leading = setmetatable({}, {__index = function(known, number)
  known[number] = digits(number) .. ' '
  return known[number]
end})

local created, lines = {}, {}

-- The id of a part of a limit. A name has no space in it.
function books.place(name, part)
  return name .. ' ' .. part
end

-- The name and part of such an id.
function books.split_place(place)
  return place:match('^(%S+) (.*)$')
end

-- The id of a run. No text has a NUL in it.
function books.run(job_id, fence)
  return job_id .. trailing[fence]
end

-- The id of a call.
function books.call(job_id, fence, number)
  return job_id .. trailing[fence] .. trailing[number]
end

-- The id of how a budget stands in a window.
function books.window(budget_id, window_ms)
  return leading[window_ms] .. budget_id
end

-- The budget and window of such an id.
function books.split_window(id)
  local window_ms, budget_id = id:match('^(%d+) (.*)$')
  return budget_id, tonumber(window_ms)
end

-- The id of what is known of a task and a model. A task has no space in it.
function books.task_model(task, model)
  return task .. ' ' .. model
end

-- A stored limit, or that of a queue's own settings.
function books.limit(name)
  return rows.get('limits', name, defaults.LimitSpec)
end

-- Write one.
function books.put_limit(name, spec)
  if not rows.get('limits', name) and not name:find('^queue:') then zsets.put('limit_names', name, 0) end
  rows.put('limits', name, spec)
end

-- The names of those that are stored, for an error message.
function books.limit_names()
  return zsets.first('limit_names', bounds.MAX_PAGE)
end

-- What is left of a limit, or of one tenant's or key's part of it; nil when nothing was taken of it yet.
function books.limit_state(name, part)
  local stored = rows.get('limit_states', books.place(name, part), defaults.LimitState)
  return stored and part ~= '' and shaping.current(name, part, stored) or stored
end

-- Write it.
function books.put_limit_state(name, part, state)
  local place = books.place(name, part)
  if part ~= '' then
    if not rows.get('limit_states', place) then zsets.put('limit_parts:' .. name, part, 0) end
    shaping.note(name, part)
    zsets.put('touched_parts', place, step.now_ms)
  end
  rows.put('limit_states', place, state)
end

-- The parts of a limit that have a row, in their order, at most so many.
function books.parts(name, most)
  local spec = books.limit(name)
  local found = books.limit_state(name, '') and {''} or {}
  if not spec or not spec.by then return found end
  -- A 429 that names nobody is kept under nobody, of a limit with parts too.
  for _, part in ipairs(zsets.first('limit_parts:' .. name, most)) do
    if #found < most then found[#found + 1] = part end
  end
  return found
end

-- Forget what is left of a part.
function books.drop_limit_state(name, part)
  local place = books.place(name, part)
  zsets.drop('limit_parts:' .. name, part)
  zsets.drop('touched_parts', place)
  rows.drop('limit_states', place)
end

local function line_of(place)
  return 'line:' .. redis.sha1hex(place)
end

-- Wake what the limit keeps aside, of any queue, and the calls that wait for it.
function books.freed(name, part)
  for _, queue in ipairs(parked.wake_behind(name, part)) do step.wake('queue:' .. queue) end
  local queue = name:match('^queue:(.*)$')
  if queue then step.wake('queue:' .. queue) end
  if counters.get('waiting_calls') == 0 then return end
  if zsets.any(line_of(books.place(name, part))) then step.wake('limit:' .. name) end
end

-- Whether a queue has a concurrency or rate of its own.
function books.queue_limited(queue)
  local settings = rows.get('queues', queue)
  return settings ~= nil and (settings.concurrency ~= nil or settings.rate ~= nil)
end

-- Add the calls of a part of a line that go on: that have asked lately. Their runs do, or else they would have left the
-- line. spec: CALL-6
local function add_waiting(found, ids)
  rows.fetch('waiting', ids)
  for _, id in ipairs(ids) do
    local one = rows.get('waiting', id)
    if #found < bounds.MAX_BATCH and step.now_ms <= one.asked_at_ms + bounds.PLACE_KEPT_MS then
      found[#found + 1] = one
    end
  end
end

-- The calls that stand in line for a limit, by band and number; those alone that go on, at most MAX_BATCH, among the first
-- MAX_LOOKED.
--
-- Who leaves the line, or stands in it anew, does so by this piece, a run that ends too: so a line is read once.
function books.waiting(name, part)
  if counters.get('waiting_calls') == 0 then return {} end
  local place = books.place(name, part)
  local found, from = lines[place], 0
  if found then return found end
  found = {}
  repeat
    local ids = zsets.read('ZRANGE', line_of(place), from, from + bounds.MAX_BATCH - 1)
    add_waiting(found, ids)
    from = from + #ids
  until #ids < bounds.MAX_BATCH or #found == bounds.MAX_BATCH or from >= bounds.MAX_LOOKED
  lines[place] = found
  return found
end

-- One call's place in line, or nil.
function books.waiting_call(job_id, fence, number)
  if counters.get('waiting_calls') == 0 then return nil end
  return rows.get('waiting', books.call(job_id, fence, number))
end

-- A new last place.
function books.next_waiting_number()
  return counters.raise('waiting_number')
end

local function without(list, value)
  local found = {}
  for _, one in ipairs(list) do
    if one ~= value then found[#found + 1] = one end
  end
  return found
end

local function put_list(name, id, list)
  if #list > 0 then rows.put(name, id, list) else rows.drop(name, id) end
end

local function leave_line(job_id, fence, number)
  local id, run = books.call(job_id, fence, number), books.run(job_id, fence)
  local found = rows.get('waiting', id)
  if not found then return nil end
  for place in pairs(found.limits) do
    zsets.drop(line_of(place), id)
    lines[place] = nil
  end
  rows.drop('waiting', id)
  put_list('waiting_runs', run, without(rows.get('waiting_runs', run) or {}, number))
  counters.raise('waiting_calls', -1)
  return found
end

-- Let a call stand in line, or keep its place.
function books.put_waiting(one)
  leave_line(one.job_id, one.fence, one.call)
  local id, run = books.call(one.job_id, one.fence, one.call), books.run(one.job_id, one.fence)
  for place in pairs(one.limits) do
    zsets.put(line_of(place), id, one.band * BAND + one.number)
    lines[place] = nil
  end
  rows.put('waiting', id, one)
  local numbers = without(rows.get('waiting_runs', run) or {}, one.call)
  numbers[#numbers + 1] = one.call
  rows.put('waiting_runs', run, numbers)
  counters.raise('waiting_calls')
end

-- The numbers of the calls of a run that stand in line.
function books.waiting_calls(job_id, fence)
  if counters.get('waiting_calls') == 0 then return {} end
  return rows.get('waiting_runs', books.run(job_id, fence)) or {}
end

-- Take a call, or all calls of a run, out of line, and tell which they were.
function books.drop_waiting(job_id, fence, number)
  local found = {}
  if counters.get('waiting_calls') == 0 then return found end
  for _, one in ipairs(number and {number} or books.waiting_calls(job_id, fence)) do
    found[#found + 1] = leave_line(job_id, fence, one)
  end
  return found
end

-- Take budgets for stored in this step, which come with jobs that are still to be checked; they are by id.
function books.expect_budgets(budgets_by_id)
  created = budgets_by_id
end

-- A stored budget, or one that is about to be.
function books.budget(budget_id)
  local found = rows.get('budgets', budget_id, defaults.BudgetSpec) or created[budget_id]
  return found and setmetatable(found, defaults.BudgetSpec)
end

-- Write one in the place of the one of its id.
function books.put_budget(spec)
  trees.move_out(spec)
  local before = rows.get('budgets', spec.id)
  if not before then zsets.put('budget_ids', spec.id, 0) end
  rows.put('budgets', spec.id, spec)
  if not before or before.parent ~= spec.parent then trees.move_in(spec) end
end

-- How a budget stands in a window; a new row when there is nothing yet.
function books.budget_state(budget_id, window_ms)
  local found = rows.get('budget_states', books.window(budget_id, window_ms), defaults.BudgetState)
  return found or setmetatable({window_ms = window_ms}, defaults.BudgetState)
end

-- Write it.
function books.put_budget_state(budget_id, state)
  local id = books.window(budget_id, state.window_ms)
  if state.window_ms ~= 0 then
    if not rows.get('budget_states', id) then
      local windows = {state.window_ms, unpack(rows.get('budget_windows', budget_id) or {})}
      rows.put('budget_windows', budget_id, windows)
    end
    zsets.put('touched_windows', id, step.now_ms)
  end
  rows.put('budget_states', id, state)
end

-- Forget how a budget stood in a window over 0.
function books.drop_budget_state(budget_id, window_ms)
  zsets.drop('touched_windows', books.window(budget_id, window_ms))
  rows.drop('budget_states', books.window(budget_id, window_ms))
  put_list('budget_windows', budget_id, without(rows.get('budget_windows', budget_id) or {}, window_ms))
end

-- The key of the grants of a budget.
function books.grants(budget_id)
  return key('grants', redis.sha1hex(budget_id))
end

-- Look at the jobs held on a budget when the step is nearly done: something was given back.
function books.room_appeared(budget_id)
  step.room('budget', budget_id)
end

-- Every price of a model, by category and instant.
function books.prices(model)
  return rows.get('prices', model) or {}
end

-- What is known of a task and model.
function books.learned(task, model)
  local found = rows.get('learned', books.task_model(task, model), defaults.Learned)
  return found or setmetatable({}, defaults.Learned)
end

-- Write it.
function books.put_learned(task, model, learned)
  rows.put('learned', books.task_model(task, model), learned)
end

-- A reservation that was read, with its defaults.
function books.shaped(found)
  if not found or getmetatable(found) == defaults.Reservation then return found end
  setmetatable(found.need, defaults.Need)
  for _, part in ipairs(found.parts or {}) do setmetatable(part, defaults.Part) end
  for _, draw in ipairs(found.draws or {}) do setmetatable(draw, defaults.Draw) end
  return setmetatable(found, defaults.Reservation)
end

local function reserved(job_id, fence, number)
  return books.shaped(rows.get('reservations', books.call(job_id, fence, number)))
end

-- A reservation, open or closed, while it is kept; nil where there is none.
function books.reservation(job_id, fence, number)
  local found = reserved(job_id, fence, number)
  if not found or not found.closed_at_ms then return found end
  return step.now_ms < found.closed_at_ms + bounds.RESERVATION_KEPT_MS and found or nil
end

-- The numbers of the calls of a run that are open, in their order.
function books.open_calls(job_id, fence)
  return rows.get('open_calls', books.run(job_id, fence)) or {}
end

-- Those of a run that are open, by call.
function books.open_reservations(job_id, fence)
  local found = {}
  for _, number in ipairs(books.open_calls(job_id, fence)) do
    found[#found + 1] = reserved(job_id, fence, number)
  end
  return found
end

-- Write call 0 of a run that begins: nothing is stored of that yet.
function books.open_run(reservation)
  rows.put('reservations', books.call(reservation.job_id, reservation.fence, 0), reservation)
  rows.put('open_calls', books.run(reservation.job_id, reservation.fence), {0})
end

-- Write one. A call that is open stands in the list of its run's.
function books.put_reservation(reservation)
  local job_id, fence, number = reservation.job_id, reservation.fence, reservation.call
  local id, run = books.call(job_id, fence, number), books.run(job_id, fence)
  local before = rows.get('reservations', id)
  if not before and number ~= 0 then zsets.put('own_calls', id, 0) end
  rows.put('reservations', id, reservation)
  local state = reservation.state or 'open'
  if before and (before.state or 'open') == state then return end
  local numbers = without(rows.get('open_calls', run) or {}, number)
  if state == 'open' then
    numbers[#numbers + 1] = number
    table.sort(numbers)
  end
  put_list('open_calls', run, numbers)
  if reservation.closed_at_ms then zsets.put('closed_calls', id, reservation.closed_at_ms) end
end

-- Forget a reservation that is closed, by its id.
function books.drop_reservation(id)
  zsets.drop('own_calls', id)
  zsets.drop('closed_calls', id)
  rows.drop('reservations', id)
end

-- Read what the ends of some runs will look at, by their leases.
function books.fetch_ends(leases_)
  local runs, ids = {}, {}
  for place, lease in ipairs(leases_) do runs[place] = books.run(lease.job_id, lease.fence) end
  rows.fetch('open_calls', runs)
  for _, lease in ipairs(leases_) do
    local calls_ = ledger.is_first_alone(lease.job_id, lease.fence) and {0} or books.open_calls(lease.job_id, lease.fence)
    for _, number in ipairs(calls_) do ids[#ids + 1] = books.call(lease.job_id, lease.fence, number) end
  end
  rows.fetch('reservations', ids)
end

-- Whether anything has been reserved at all. Where nothing is, that is not asked of each job that goes.
local reserves
local function any_reserved()
  if reserves == nil then reserves = call('EXISTS', key('reservations')) == 1 end
  return reserves
end

-- Forget calls of a job that has ended: those of its own by name, at most so many, and with the last of them call 0 of each
-- run that it had. The answer is how many they were, and whether that was all.
function books.forget_calls(job, room)
  if not any_reserved() then return 0, true end
  local first, last = '[' .. job.id .. NUL, '(' .. job.id .. '\1'
  local ids = zsets.read('ZRANGE', 'own_calls', first, last, 'BYLEX', 'LIMIT', 0, room + 1)
  local all, count = #ids <= room, math.min(#ids, room)
  if not all then ids[#ids] = nil end
  for fence = 1, all and job.fence or 0 do ids[#ids + 1] = books.call(job.id, fence, 0) end
  rows.fetch('reservations', ids)
  for _, id in ipairs(ids) do
    if rows.get('reservations', id) then books.drop_reservation(id) end
  end
  return count, all
end

-- Forget what was used in a name, and the budget of that name, unless another one draws from it.
function books.forget_account(scope, owner)
  consumption.forget(scope, owner)
  local budget_id = scope .. ':' .. owner
  local spec = rows.get('budgets', budget_id)
  if not spec or rows.get('budget_parents', budget_id) then return end
  if spec.parent then trees.leave_parent(spec) end
  for _, window_ms in ipairs(rows.get('budget_windows', budget_id) or {}) do
    books.drop_budget_state(budget_id, window_ms)
  end
  rows.drop('budget_states', books.window(budget_id, 0))
  rows.drop('budgets', budget_id)
  zsets.drop('budget_ids', budget_id)
  call('UNLINK', books.grants(budget_id))
end

-- Count use for its job, flow, tenant and minute. `owner` is a UsageOf; `more` is a Counted by `consumption.line(model,
-- category)`.
function books.add_usage(owner, more)
  consumption.add('job', owner.job_id, owner.minute_ms, more)
  books.add_shared_use(owner, more)
end

-- The same without the job, as of several together.
function books.add_shared_use(owner, more)
  if owner.flow then consumption.add('flow', owner.flow, owner.minute_ms, more) end
  consumption.add('tenant', owner.tenant or '', owner.minute_ms, more)
  consumption.add('all', '', owner.minute_ms, more)
  if (owner.task or '') == '' then return end
  local figures = events.minute(owner.minute_ms, owner.queue, owner.task)
  for _, counted in pairs(more) do events.count_use(figures, counted.tokens or 0, counted.usd_micros or 0) end
end

-- What a tenant weighs.
function books.weight(tenant)
  return rows.get('weights', tenant) or USUAL_WEIGHT
end

-- Let the service of a job's line rise by a cost over the tenant's weight, or fall, as often as is said, and tell what it is now.
function books.serve(job, cost, times)
  local line, weight = lanes.line(job.queue, lanes.line_of(job, fairness.pool(job))), books.weight(job.tenant)
  local service = line.service
  for _ = 1, times or 1 do service = fairness.risen(service, cost, weight) end
  lanes.put_line(job.queue, rows.with(line, {service = service}))
  return service
end
