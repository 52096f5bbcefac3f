-- accounting: what use so far, the end of a call, and a correction change of each limit and budget that it was admitted
-- on. Each function writes one limit or budget, and answers with the part or the draw as it stands from then on.
--
-- What stands for a call is an account: the use that is `counted` and what that is worth (`lines`, `usd_micros`), the
-- use that its limits are `charged`, and `guessed`, which says that nobody reported it. See `usage.reported`. What it
-- comes to on limits (`on_limits`, by name) and budgets (`on_budgets`, by their weights) is worked out once.
-- spec: CALL-4, CALL-9, CALL-10, CALL-11, CALL-12, CALL-13, BUDGET-3, BUDGET-4, BUDGET-6, QUEUE-2

local FIRST = 0
-- How a call ends that has used no tokens.
local UNUSED = {unsent = true, throttled = true}

-- The weighted tokens of a call that count on a limit. spec: CALL-9
function accounting.on_limit(account, spec)
  local known = account.on_limits[spec.name]
  if not known then
    known = charging.counted(spec, account.charged)
    account.on_limits[spec.name] = known
  end
  return known
end

-- A part that is closed: what it held is over, and so much stands charged.
function accounting.charged(part, charge)
  return rows.with(part, {charge = charge, rest = none})
end

-- What counts in the end of what a call took of a limit, and the part that says so. spec: CALL-9, CALL-12
function accounting.on_part(account, spec, part)
  local used = accounting.on_limit(account, spec)
  -- A guess never takes more than was reserved by it.
  if account.guessed then used = math.min(used, part.charge + part.rest) end
  return used, accounting.charged(part, spec.refund and used or math.max(used, part.charge))
end

-- What was spent of a budget, the same for all that share their weights, as those without any do. spec: BUDGET-3
local function on_budget(account, spec)
  local known = account.on_budgets[spec.weights]
  if not known then
    known = budgets.amounts_used(spec, account.counted, {}, account.usd_micros)
    account.on_budgets[spec.weights] = known
  end
  return known
end

-- Give back what was never used: the limit, and the part. The request goes back only of a call that was never sent, and
-- a job's start never. spec: CALL-11, QUEUE-2
local function given_back(how, spec, state, part)
  local kept = how == 'throttled' or part.limit:find('^queue:')
  local given = kept and rows.with(part, {requests = none}) or part
  local left = rows.with(part, {requests = part.requests - given.requests, charge = none, rest = none})
  return limits.returned(spec, state, given), left
end

-- Move use so far out of what a part holds. spec: CALL-10
function accounting.part_so_far(part, account)
  local spec = books.limit(part.limit)
  if not spec then return part end
  local bound = {spec = spec, key = part.key}
  local state = standing.state_of(bound)
  local changed, after = limits.reported(spec, state, part, accounting.on_limit(account, spec))
  standing.put(bound, state, changed)
  return after
end

-- Close a reservation's part of a limit, and with `units` its unit. What comes back says what stands charged.
function accounting.closed_part(how, part, account, units)
  local spec = books.limit(part.limit)
  if not spec then return part end
  local bound = {spec = spec, key = part.key}
  local state = standing.state_of(bound)
  local after, closed
  if how == 'expired' then
    after, closed = limits.expired(spec, state, part), accounting.charged(part, part.charge + part.rest)
  elseif UNUSED[how] and #account.charged == 0 then
    after, closed = given_back(how, spec, state, part)
  else
    local used
    used, closed = accounting.on_part(account, spec, part)
    after = limits.settled(spec, state, part, used)
  end
  if part.slot and units then
    after, closed = limits.released(after), rows.with(closed, {slot = none})
  end
  standing.put(bound, state, after)
  return closed
end

-- Count what was used in the place of what a part that is closed was charged. spec: CALL-13
function accounting.corrected_part(closed, part)
  local spec = books.limit(part.limit)
  if not spec then return part end
  local bound = {spec = spec, key = part.key}
  local state = standing.state_of(bound)
  local after, part_after
  if UNUSED[closed.state] and #closed.used == 0 then
    after, part_after = given_back(closed.state, spec, state, part)
  else
    local used = charging.counted(spec, closed.used)
    after, part_after = limits.corrected(spec, state, part.charge, used), rows.with(part, {charge = used})
  end
  standing.put(bound, state, after)
  return part_after
end

-- Move use so far out of what a draw holds. spec: BUDGET-6
function accounting.draw_so_far(draw, account)
  local spec = books.budget(draw.budget)
  if not spec then return draw end
  local state = books.budget_state(draw.budget, draw.window_ms)
  local changed, after = budgets.reported(state, draw, on_budget(account, spec))
  drawing.put(draw.budget, state, changed)
  return after
end

-- A guess never spends more than was held for it.
local function capped(amounts, held)
  local found = {}
  for kind, amount in pairs(amounts) do found[kind] = math.min(amount, held[kind] or 0) end
  return found
end

-- What a call has spent of a budget in the end.
function accounting.spent(account, spec, draw)
  local amounts = on_budget(account, spec)
  return account.guessed and capped(amounts, draw.held) or amounts
end

-- By how much the service of a job's line was too low for what was used in the place of what was expected. spec: FAIR-2
function accounting.in_order(found, account)
  local spec = found.cost_limit and books.limit(found.cost_limit)
  for _, part in ipairs(spec and found.parts or {}) do
    if part.limit == spec.name then
      local used = accounting.on_limit(account, spec)
      if account.guessed then used = math.min(used, found.cost) end
      return used - found.cost
    end
  end
  return 0
end

-- Close a draw on a budget. What comes back says what stands spent, for a late correction.
function accounting.closed_draw(how, draw, account)
  local spec = books.budget(draw.budget)
  if not spec then return draw end
  local state = books.budget_state(draw.budget, draw.window_ms)
  local after
  if how == 'expired' then
    after = budgets.spent_in_full(state, draw)
  else
    after = budgets.settled(state, draw, accounting.spent(account, spec, draw))
  end
  drawing.put(draw.budget, state, after)
  return drawing.settled(draw, state, after)
end

local function release_another(closed, bound)
  for _, other in ipairs(books.open_reservations(closed.job_id, closed.fence)) do
    local part = calls.part_of(other, bound)
    if other.call ~= FIRST and part and part.slot then
      local parts = {}
      for place, one in ipairs(other.parts) do
        parts[place] = one == part and rows.with(one, {slot = none}) or one
      end
      books.put_reservation(rows.with(other, {parts = parts}))
      local state = standing.state_of(bound)
      standing.put(bound, state, limits.released(state))
      return
    end
  end
end

-- A call that had no unit of its own ran on one that its run holds anyway: where another call took one, the run now
-- holds one too many. spec: CALL-4
function accounting.pass_units_on(closed)
  for _, part in ipairs(closed.parts) do
    local spec = books.limit(part.limit)
    if spec and spec.concurrency then
      local bound = {spec = spec, key = part.key}
      if not part.slot then release_another(closed, bound) end
      for _, one in ipairs(books.waiting(spec.name, part.key)) do
        -- Its own calls in line may not need a unit any more.
        if one.job_id == closed.job_id then
          books.freed(spec.name, part.key)
          break
        end
      end
    end
  end
end
