-- releasing: the ends of runs that have succeeded, of jobs that limits and budgets bind, and that called nobody.
--
-- As `admitting` does with beginnings: of those that are alike, and reserved the same, is worked out once what stands for their
-- one call, and what that changes. Limits and shared budgets are changed in place, and written with the sums of what was used
-- before anybody else looks at them (`releasing.write`). What is anything else is left to `closing`, from which nothing here
-- decides otherwise.
-- spec: STATE-6, LEASE-1, CALL-12, USAGE-1, USAGE-4, BUDGET-3, FAIR-2, METRIC-3

local MINUTE_ROWS = {'tokens', 'usd_micros', 'unpriced', 'estimated'}

-- What is left of limits, by their specs, and of shared budgets, by window; and the ends of which some have come, to be written.
local limits_left, budgets_left, ends = {}, {}, {}
-- What runs say that may end here, by job.
local shaped = {}

-- The same of one; nil of others.
local function shape_of(id)
  local text = plain.limited(id)
  if text and not shaped[id] then
    local _, _, _, _, at = records.lease(text)
    shaped[id] = at and shapes.of(id, text, at)
  end
  return text and shaped[id]
end

-- Whether the run of a job may end here.
function releasing.may(id)
  return shape_of(id) and true or false
end

-- Read what the ends of some runs will look at, by the ids of their jobs.
function releasing.fetch(ids)
  local names, states, lines = {}, {}, {}
  for place, id in ipairs(ids) do
    names[place] = shapes.budget(id)
    states[place], lines[place] = books.window(names[place], 0), holding.line_of('budget', names[place])
  end
  rows.fetch('budgets', names)
  rows.fetch('budget_states', states)
  rows.fetch('held', lines)
  consumption.look(ids)
end

-- What a part of a limit changes, and the part as it is closed; nil where the pieces for all have to do it.
local function closed_part(part, account)
  local spec = books.limit(part.limit)
  if not spec then return part end
  if part.key ~= '' or part.limit:find('^queue:') then return nil end
  local used, closed = accounting.on_part(account, spec, part)
  local change = limits.settling(spec, part, used)
  if part.slot then closed = rows.with(closed, {slot = none}) end
  return change and closed, {bound = {spec = spec, key = ''}, change = change}
end

local function closed_parts(found, account)
  local parts, changes = {}, {}
  for place, part in ipairs(found.parts) do
    local closed, change = closed_part(part, account)
    if not closed then return nil end
    parts[place], changes[#changes + 1] = closed, change
  end
  return parts, changes
end

local function has_more_room(spec, old, new)
  for kind in pairs(spec.caps) do
    if (new.spent[kind] or 0) + (new.held[kind] or 0) < (old.spent[kind] or 0) + (old.held[kind] or 0) then return true end
  end
  return false
end

-- What closing a draw on a budget of a job's own changes, and the draw as it is closed.
local function closed_own(spec, draw, id, amounts)
  local state_id = books.window(spec.id, 0)
  local before = rows.stored('budget_states', state_id)
  if draw.window_ms ~= 0 or not before then return nil end
  local old = books.budget_state(spec.id, 0)
  local new = budgets.settled(old, draw, amounts)
  return drawing.settled(draw, old, new), {
    said = shapes.masked(rows.stored('budgets', spec.id) or '', id), before = before, after = cmsgpack.pack(new),
    has_room = has_more_room(spec, old, new),
  }
end

-- The same of a budget that others draw from, too.
local function closed_shared(spec, draw, amounts)
  local change = {spec = spec, id = books.window(spec.id, draw.window_ms), window_ms = draw.window_ms, held = draw.held, spent = budgets.less(amounts, draw.spent)}
  local old = setmetatable({held = draw.held}, defaults.BudgetState)
  change.has_room = has_more_room(spec, old, {held = {}, spent = change.spent})
  local told = {budget = draw.budget, window_ms = draw.window_ms, spent = budgets.total(draw.spent, change.spent)}
  return setmetatable(told, defaults.Draw), change
end

local function closed_draws(release, found, account, id)
  local draws = {}
  for place, draw in ipairs(found.draws) do
    local spec, own = books.budget(draw.budget), draw.budget == shapes.budget(id)
    if not spec and own then return nil end
    if not spec then
      draws[place] = draw
    elseif own then
      draws[place], release.own = closed_own(spec, draw, id, accounting.spent(account, spec, draw))
    else
      local change
      draws[place], change = closed_shared(spec, draw, accounting.spent(account, spec, draw))
      release.shared[#release.shared + 1] = change
    end
    if not draws[place] then return nil end
  end
  return draws
end

-- What all jobs of a shape change that have reserved the same and say nothing of what they have used; false where the pieces for
-- all have to do it.
local function worked_out(shape, id, text)
  local found = books.shaped(cmsgpack.unpack(text))
  if found.state ~= 'open' or found.call ~= 0 or #found.used > 0 or found.closed_at_ms then return false end
  local need = usage.guess(found, 'settled')
  local account = usage.silent(found, 'settled', need)
  local release = {record = shape.record, shared = {}, lines = account.lines, count = 0, cost = accounting.in_order(found, account)}
  local parts, changes = closed_parts(found, account)
  local draws = parts and closed_draws(release, found, account, id)
  if not draws then return false end
  release.limits = changes
  release.reservation = shapes.pieces(cmsgpack.pack(rows.with(found, {
    state = 'settled', used = {}, need = need, parts = parts, draws = draws, closed_at_ms = step.now_ms,
  })), id)
  release.first_use = consumption.first(step.now_ms - step.now_ms % metrics.MINUTE_MS, account.lines)
  return release
end

local function release_of(shape, id, text)
  local said = shapes.masked(text, id)
  shape.endings = shape.endings or {}
  local found = shape.endings[said]
  if found == nil then
    found = worked_out(shape, id, text)
    shape.endings[said] = found
  end
  return found
end

local function budget_left(change)
  local id = change.id
  local found = budgets_left[id]
  if not found then
    local state = books.budget_state(change.spec.id, change.window_ms)
    found = {spec = change.spec, state = rows.with(state, {held = rows.with(state.held, {}), spent = rows.with(state.spent, {})})}
    budgets_left[id] = found
  end
  return found
end

-- Whether the budgets of a job stand such that its end changes them as those of others that are alike.
local function is_alike(release, id)
  local own = release.own
  if own then
    local name = shapes.budget(id)
    local text = rows.stored('budgets', name)
    if not text or shapes.masked(text, id) ~= own.said then return false end
    if rows.stored('budget_states', books.window(name, 0)) ~= own.before then return false end
  end
  for _, change in ipairs(release.shared) do
    if not budgets.takes(budget_left(change).state, change) then return false end
  end
  return true
end

local function change_limit(one)
  local left = limits_left[one.bound.spec]
  if not left then
    left = {bound = one.bound, state = rows.with(standing.state_of(one.bound), {})}
    limits_left[one.bound.spec] = left
  end
  local old = not left.freed and rows.with(left.state, {})
  limits.change(left.state, one.change)
  left.freed = left.freed or standing.roomier(old, left.state)
end

local function change_budgets(release, id)
  for _, change in ipairs(release.shared) do
    local left = budget_left(change)
    budgets.settle(left.state, change)
    left.has_room, left.changed = left.has_room or change.has_room, true
  end
  if not release.own then return end
  local name = shapes.budget(id)
  ledger.put_budget_state(name, release.own.after)
  if release.own.has_room and holding.may_let_go(name) then books.room_appeared(name) end
end

-- Let a run succeed that still owns its job, whose result stands at a place of the call, and close what it has reserved; whether
-- that has been done.
function releasing.settle(id, fence, lease_id, settlement, place)
  local shape = shape_of(id)
  if not shape or plain.is_waited_for(id) then return false end
  local text = ledger.is_first_alone(id, fence) and rows.stored('reservations', books.call(id, fence, 0))
  if not text then return false end
  local release = release_of(shape, id, text)
  if not release or not is_alike(release, id) then return false end
  if not plain.settle_limited(id, fence, lease_id, settlement, place) then return false end
  for _, one in ipairs(release.limits) do change_limit(one) end
  change_budgets(release, id)
  ledger.close_run(id, fence, table.concat(release.reservation, id))
  if not consumption.put_first(id, release.first_use) then
    consumption.add('job', id, step.now_ms - step.now_ms % metrics.MINUTE_MS, release.lines)
  end
  if release.count == 0 then ends[#ends + 1] = release end
  release.count = release.count + 1
  return true
end

-- Count what as many have used as have ended so.
local function count_use(release)
  local record, count, more = release.record, release.count, {}
  for line, counted in pairs(release.lines) do
    more[line] = {}
    for _, name in ipairs(MINUTE_ROWS) do more[line][name] = count * counted[name] end
  end
  if next(more) == nil then return end
  local minute_ms = step.now_ms - step.now_ms % metrics.MINUTE_MS
  books.add_shared_use({
    minute_ms = minute_ms, flow = record.flow, tenant = record.tenant, queue = record.queue, task = record.task,
  }, more)
end

-- Write what the ends of runs have changed together, before anybody else looks at it.
function releasing.write()
  for _, one in pairs(limits_left) do
    books.put_limit_state(one.bound.spec.name, '', one.state)
    if one.freed then books.freed(one.bound.spec.name, '') end
  end
  for _, one in pairs(budgets_left) do
    if one.changed then books.put_budget_state(one.spec.id, one.state) end
    if one.has_room then books.room_appeared(one.spec.id) end
  end
  for _, release in ipairs(ends) do
    count_use(release)
    if release.cost ~= 0 then books.serve(release.record, release.cost, release.count) end
    release.count = 0
  end
  limits_left, budgets_left, ends = {}, {}, {}
end
