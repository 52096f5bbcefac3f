-- budgets: what a budget holds and has spent, and what still fits into it.
--
-- A reservation holds the most that it may spend, in the step that admits it, and spends what it used when it ends.
-- Specs, states, draws and needs are rows under their defaults; amounts are numbers by what they count, without what is
-- nothing. No table that is handed in is changed.
-- spec: BUDGET-1 to BUDGET-8, HOLD-4

local DAY_MS = 24 * 3600000
local MONTH_DAYS = 31

-- How many days of its month have passed before a day, which is counted from 1970-01-01.
--
-- Source: Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days; years begin in March there,
-- so that a leap day is the last of one.
local function day_of_month(day)
  local floor = math.floor
  local of_era = (day + 719468) % 146097
  local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524) - floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * of_year + 2) / 153)
  return of_year - floor((153 * month + 2) / 5)
end

-- The instant at which the day or month of `now_ms` began in UTC; 0 for a budget without windows. spec: BUDGET-7
function budgets.window_start(window, now_ms)
  if not window then return 0 end
  local day = math.floor(now_ms / DAY_MS)
  return (window == 'day' and day or day - day_of_month(day)) * DAY_MS
end

-- The instant at which the next window begins, nil for a budget without windows. spec: BUDGET-7
function budgets.window_end(window, now_ms)
  if not window then return nil end
  -- 31 days after the first day of a month it is the next month, whatever the length of either.
  local span_ms = window == 'day' and DAY_MS or MONTH_DAYS * DAY_MS
  return budgets.window_start(window, budgets.window_start(window, now_ms) + span_ms)
end

-- Whether the window that began at `window_ms` had ended at an instant. One of a budget that had windows when it began,
-- and has none any more, was a month at most. spec: BUDGET-15
function budgets.is_over(spec, window_ms, at_ms)
  return budgets.window_end(spec.window or 'month', window_ms) <= at_ms
end

-- A kind of amount, in words.
local function called(name)
  if name == 'usd_micros' then return 'money' end
  local category = name:match('^tokens%.(.+)$')
  return category and category .. ' tokens' or name
end

-- Refuse to add to what a budget does not cap: nothing would come of it. spec: BUDGET-10
function budgets.check_grant(spec, amounts)
  for _, name in ipairs(order.names(amounts)) do
    if not spec.caps[name] then
      local capped = {}
      for _, one in ipairs(order.names(spec.caps)) do capped[#capped + 1] = called(one) end
      local told = #capped > 0 and table.concat(capped, ', ') or 'nothing'
      step.refuse('InvalidInput', {
        'Budget "' .. spec.id .. '" caps ' .. told .. ', and not ' .. called(name) .. ', so that nothing would come of '
          .. 'the grant. Grant what it caps, or store it with a cap on that first.',
      })
    end
  end
end

local function of_tokens(spec, tokens, usd_micros)
  local found = {}
  local function add(name, amount)
    if amount ~= 0 then found[name] = amount end
  end
  add('tokens', charging.weighted(tokens, spec.weights))
  add('usd_micros', usd_micros)
  for category, count in pairs(tokens) do add('tokens.' .. category, count) end
  return found
end

-- What a call reserves of a budget: its input and the most output that it may ask for, in every kind of amount.
--
-- At least 1 of each that has a cap, so that nothing starts on a budget that is used up to the last unit; but nothing
-- of a need that is declared to be none. spec: BUDGET-2
function budgets.amounts(spec, need, charged)
  local tokens = {input = need.input, output = need.max_output}
  local found = of_tokens(spec, tokens, (prices.cost(tokens, charged)))
  if need.declared and need.input == 0 and need.max_output == 0 then return found end
  for name in pairs(spec.caps) do found[name] = found[name] or 1 end
  return found
end

-- What a call has spent of a budget, in every kind of amount. spec: BUDGET-3
--
-- `charged` are the prices of one model; for use of several pass what it costs together as `usd_micros`.
function budgets.amounts_used(spec, used, charged, usd_micros)
  local tokens = charging.total_of(used)
  return of_tokens(spec, tokens, usd_micros or (prices.cost(tokens, charged)))
end

-- The grants less what was spent, and the cap less what is held, are exact each; so is their sum, but where it is
-- beyond every amount that may be asked for.
local function left(state, name, cap)
  local given = (state.granted[name] or 0) - (state.spent[name] or 0)
  return given + (cap - (state.held[name] or 0))
end

-- What is left of each amount that has a cap; below zero where more was spent, or a cap was lowered.
function budgets.room(spec, state)
  local found = {}
  for name, cap in pairs(spec.caps) do found[name] = left(state, name, cap) end
  return found
end

-- The most that may be spent and held of each amount that has a cap, in the state's window. spec: HOLD-4
function budgets.ceiling(spec, state)
  local found = {}
  for name, cap in pairs(spec.caps) do found[name] = cap + (state.granted[name] or 0) end
  return found
end

-- Whether a budget can hold these as well; exactly equal fits. spec: BUDGET-1
function budgets.fits(spec, state, amounts)
  for name, cap in pairs(spec.caps) do
    if (amounts[name] or 0) > left(state, name, cap) then return false end
  end
  return true
end

-- The most output, up to what the need asks for, with which it fits; -1 where it does not fit without any.
--
-- More output never needs less of anything, so the answer is found by halving. spec: BUDGET-8
function budgets.largest_output(spec, state, need, charged)
  local least, most = 0, need.max_output + 1
  while least < most do
    local middle = math.floor((least + most) / 2)
    local asked = rows.with(need, {max_output = middle})
    if budgets.fits(spec, state, budgets.amounts(spec, asked, charged)) then least = middle + 1 else most = middle end
  end
  return least - 1
end

-- Both together, without what is nothing; at most MAX_LEVEL, the most that every store keeps exactly.
function budgets.total(first, second)
  if next(second) == nil then return first end
  local sums = {}
  for name, amount in pairs(first) do sums[name] = amount end
  for name, more in pairs(second) do
    local amount = (sums[name] or 0) + more
    sums[name] = amount ~= 0 and math.min(bounds.MAX_LEVEL, amount) or nil
  end
  return sums
end

-- The first without the second, and without what is nothing; below zero where that has more.
function budgets.less(first, second)
  if next(second) == nil then return first end
  local rest = {}
  for name, amount in pairs(first) do rest[name] = amount end
  for name, taken in pairs(second) do
    local amount = (rest[name] or 0) - taken
    rest[name] = amount ~= 0 and amount or nil
  end
  return rest
end

-- Leave out categories that nobody has capped and that come after too many others: a category is named by whoever
-- reports, and a row that grew with every new name would have no bound. They still count in the sums.
local function known(state, draw, change)
  local room_left, asked = 2 * bounds.MAX_CATEGORIES, 0
  for _ in pairs(state.spent) do room_left = room_left - 1 end
  for _ in pairs(change) do asked = asked + 1 end
  if room_left >= asked then return change end
  local found = {}
  for _, name in ipairs(order.names(change)) do
    local stays = state.spent[name] or draw.held[name] or draw.spent[name] or not name:find('^tokens%.')
    if stays then
      found[name] = change[name]
    elseif room_left > 0 then
      found[name] = change[name]
      room_left = room_left - 1
    end
  end
  return found
end

-- A state with other figures. It is written out, since every call changes that of each of its budgets twice.
local function standing_at(state, held, spent)
  local made = {window_ms = state.window_ms, held = held, spent = spent, granted = rawget(state, 'granted')}
  return setmetatable(made, defaults.BudgetState)
end

-- Hold what was granted. spec: BUDGET-1
function budgets.drawn(state, amounts)
  return standing_at(state, budgets.total(state.held, amounts), state.spent)
end

-- The same of a state that is the caller's own, and is changed in place.
function budgets.hold(state, amounts)
  local held = state.held
  for name, amount in pairs(amounts) do held[name] = math.min(bounds.MAX_LEVEL, (held[name] or 0) + amount) end
end

-- Move use so far out of what is held; `used` is all that the call has used, as in every report. Keep the new draw,
-- which is the second answer.
--
-- Where the report says less than an earlier one nothing changes. spec: BUDGET-6, USAGE-2
function budgets.reported(state, draw, used)
  local more, moved = {}, {}
  for name, amount in pairs(used) do
    more[name] = math.max(0, amount - (draw.spent[name] or 0))
    moved[name] = math.min(more[name], draw.held[name] or 0)
  end
  local kept = known(state, draw, more)
  local held, spent = budgets.less(state.held, moved), budgets.total(state.spent, kept)
  local told = {held = budgets.less(draw.held, moved), spent = budgets.total(draw.spent, kept)}
  return standing_at(state, held, spent), rows.with(draw, told)
end

-- Give back what a draw holds, and spend what was used and is not counted yet. So a late settlement corrects a draw
-- that was spent in full. spec: BUDGET-3, BUDGET-4
function budgets.settled(state, draw, used)
  local change = known(state, draw, budgets.less(used, draw.spent))
  local held, spent = budgets.less(state.held, draw.held), budgets.total(state.spent, change)
  return standing_at(state, held, spent)
end

-- Whether a change, {held, spent}, may be made by `settle`: nothing of it is left out, nor is any sum more than is kept exactly.
function budgets.takes(state, change)
  if known(state, {held = change.held, spent = {}}, change.spent) ~= change.spent then return false end
  for name, more in pairs(change.spent) do
    if (state.spent[name] or 0) + more > bounds.MAX_LEVEL then return false end
  end
  return true
end

-- The same as `settled`, of a state that is the caller's own, and is changed in place.
function budgets.settle(state, change)
  local held, spent = state.held, state.spent
  for name, amount in pairs(change.held) do
    local rest = (held[name] or 0) - amount
    held[name] = rest ~= 0 and rest or nil
  end
  for name, amount in pairs(change.spent) do
    local sum = (spent[name] or 0) + amount
    spent[name] = sum ~= 0 and sum or nil
  end
end

-- Give back what a draw holds, of a call that was never sent. spec: BUDGET-5
function budgets.returned(state, draw)
  return standing_at(state, budgets.less(state.held, draw.held), state.spent)
end

-- Spend all that a draw holds, since its run was lost. Keep the draw as one that holds nothing and has spent that, for
-- a late settlement. spec: BUDGET-4
function budgets.spent_in_full(state, draw)
  local held, spent = budgets.less(state.held, draw.held), budgets.total(state.spent, draw.held)
  return standing_at(state, held, spent)
end
