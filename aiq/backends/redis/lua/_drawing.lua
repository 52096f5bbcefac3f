-- drawing: the budgets that a job draws from, and what a call may hold of them.
--
-- What a call wants is {need, prices}. What `fit` answers says in `is` which of three it is: 'Fit' {want, drafts}, with
-- drafts of {spec, state, amounts}; 'Short' {budget, need, text}; or 'Hopeless' {reason, by, text}.
-- spec: BUDGET-1, BUDGET-8, BUDGET-9, HOLD-4, HOLD-8

local function chain_of(names)
  local found, seen = {}, {}
  local place = 1
  while names[place] do
    local name = names[place]
    local spec = not seen[name] and books.budget(name) or nil
    if spec then
      seen[name] = true
      found[#found + 1] = spec
      if spec.parent then names[#names + 1] = spec.parent end
    end
    place = place + 1
  end
  return found
end

-- The budgets that a job names, and their ancestors.
function drawing.own_chain(job)
  return chain_of({unpack(job.budgets)})
end

-- Every budget that a job draws from, the nearest first, none of them twice.
function drawing.chain(job)
  if job.tenant == '' and #job.budgets == 0 then return {} end
  local names = {unpack(job.budgets)}
  if job.tenant ~= '' then names[#names + 1] = 'tenant:' .. job.tenant end
  return chain_of(names)
end

-- The first budget that has a ceiling in money, or nil.
function drawing.in_money(specs)
  for _, spec in ipairs(specs) do
    if spec.caps.usd_micros then return spec end
  end
end

-- The prices of a model by category at an instant; empty where nobody stored any, or the model is not known.
function drawing.prices_of(model, at_ms)
  return model ~= '' and prices.in_force(books.prices(model), at_ms) or {}
end

-- How a budget stands in its present window.
function drawing.state_of(spec)
  return books.budget_state(spec.id, budgets.window_start(spec.window, step.now_ms))
end

-- What a call of some need wants in this step.
function drawing.want(need)
  return {need = need, prices = drawing.prices_of(need.model, step.now_ms)}
end

-- Say that a model has no price, and a budget counts money.
function drawing.price_unknown(model, budget)
  local said = '"' .. model .. '"'
  return 'Model ' .. said .. ' has no price, and budget "' .. budget .. '" counts money. Store one with '
    .. '`queue.admin.put_prices([Price(' .. said .. ', "input", "2.50"), Price(' .. said .. ', "output", "10")])`.'
end

local function draft(spec, state, need, charged)
  local amounts = budgets.amounts(spec, need, charged)
  if not need.declared then
    local room = budgets.room(spec, state)
    for kind, amount in pairs(amounts) do amounts[kind] = math.min(amount, math.max(1, room[kind] or amount)) end
  end
  return {spec = spec, state = state, amounts = amounts}
end

local function asking(need, output)
  return rows.with(need, {
    max_output = output,
    output = math.min(need.output, output),
    open_ended = need.open_ended and output >= need.max_output,
  })
end

local function short(spec, state, amounts)
  return {is = 'Short', budget = spec, need = amounts, text = drawing.told(spec, state, amounts)}
end

-- A need that a budget can hold, if the need can shrink so far; else nil, and how short the budget is.
local function shrunk(spec, state, want)
  local need, charged = want.need, want.prices
  local largest = budgets.largest_output(spec, state, need, charged)
  if need.declared then
    if need.min_output and largest >= need.min_output then return asking(need, largest) end
    local least = need.min_output and asking(need, math.min(need.min_output, need.max_output)) or need
    return nil, short(spec, state, budgets.amounts(spec, least, charged))
  end
  local smaller = asking(need, math.min(need.max_output, math.max(1, largest)))
  local amounts = draft(spec, state, smaller, charged).amounts
  if budgets.fits(spec, state, amounts) then return smaller end
  return nil, short(spec, state, amounts)
end

-- A budget's state as if a draw on it had been given back; one of another window does not matter to it.
local function without(state, spec, given)
  for _, draw in ipairs(given) do
    if draw.budget == spec.id and draw.window_ms == state.window_ms then return budgets.returned(state, draw) end
  end
  return state
end

-- What a call may hold of each budget of its chain, if `given` were given back before. Writes nothing.
--
-- Where a budget has too little room, a need with a `min_output` shrinks to the most output that fits, and one that
-- nobody declared to the room that is left. spec: BUDGET-1, BUDGET-8, HOLD-8
function drawing.fit(specs, want, given)
  if #specs == 0 then return {is = 'Fit', want = want, drafts = {}} end
  local priced, model = drawing.in_money(specs), want.need.model
  if priced and model ~= '' and next(want.prices) == nil then
    return {is = 'Hopeless', reason = 'price', by = model, text = drawing.price_unknown(model, priced.id)}
  end
  local drafts, fitting = {}, want
  for place, spec in ipairs(specs) do
    local state = without(drawing.state_of(spec), spec, given or {})
    local amounts = budgets.amounts(spec, fitting.need, fitting.prices)
    if not budgets.fits(spec, state, amounts) then
      local smaller, lacking = shrunk(spec, state, fitting)
      if not smaller then return lacking end
      fitting = {need = smaller, prices = fitting.prices}
    end
    drafts[place] = {spec = spec, state = state, amounts = amounts}
  end
  if fitting ~= want then
    for place, one in ipairs(drafts) do drafts[place] = draft(one.spec, one.state, fitting.need, fitting.prices) end
  end
  return {is = 'Fit', want = fitting, drafts = drafts}
end

-- Hold what was drafted.
function drawing.hold(drafts)
  local draws = {}
  for place, one in ipairs(drafts) do
    books.put_budget_state(one.spec.id, budgets.drawn(one.state, one.amounts))
    local draw = {budget = one.spec.id, window_ms = one.state.window_ms, held = one.amounts}
    draws[place] = setmetatable(draw, defaults.Draw)
  end
  return draws
end

-- Hold what was drafted as if `given` had been given back, and give those back: one change for each budget.
function drawing.hold_instead(drafts, given)
  local before, drafted = {}, {}
  for place, one in ipairs(drafts) do
    before[place] = books.budget_state(one.spec.id, one.state.window_ms)
    drafted[one.spec.id .. ' ' .. digits(one.state.window_ms)] = true
  end
  local draws = drawing.hold(drafts)
  for place, one in ipairs(drafts) do
    drawing.put(one.spec.id, before[place], books.budget_state(one.spec.id, one.state.window_ms))
  end
  for _, draw in ipairs(given) do
    if not drafted[draw.budget .. ' ' .. digits(draw.window_ms)] then
      local state = books.budget_state(draw.budget, draw.window_ms)
      drawing.put(draw.budget, state, budgets.returned(state, draw))
    end
  end
  return draws
end

-- A draw that holds nothing any more, with what the step has spent for it.
function drawing.settled(draw, old, new)
  local spent = budgets.total(draw.spent, budgets.less(new.spent, old.spent))
  return setmetatable({budget = draw.budget, window_ms = draw.window_ms, spent = spent}, defaults.Draw)
end

local function used(state, kind)
  return (state.spent[kind] or 0) + (state.held[kind] or 0)
end

-- Write how a budget stands, and say so when it has more room than before. spec: HOLD-4
function drawing.put(budget, old, new)
  books.put_budget_state(budget, new)
  local spec = books.budget(budget)
  for kind in pairs(spec and spec.caps or {}) do
    if used(new, kind) < used(old, kind) then
      books.room_appeared(budget)
      return
    end
  end
end

local function figure(kind, amount)
  if kind == 'usd_micros' then return figures.money(amount) end
  local category = kind:match('^tokens%.(.+)$')
  return figures.counted(amount, category and category .. ' token' or 'token')
end

-- Say how a budget stands, beside what was asked of it.
function drawing.told(spec, state, need)
  local room, kinds = budgets.room(spec, state), order.names(spec.caps)
  local kind = kinds[1]
  for place = #kinds, 1, -1 do
    if (need[kinds[place]] or 0) > room[kinds[place]] then kind = kinds[place] end
  end
  local cap, asked = budgets.ceiling(spec, state)[kind], need[kind] or 0
  local are = asked == 1 and kind ~= 'usd_micros' and 'is' or 'are'
  return 'Budget "' .. spec.id .. '" has ' .. figure(kind, math.max(0, room[kind])) .. ' left of '
    .. figure(kind, cap) .. ', and ' .. figure(kind, asked) .. ' ' .. are .. ' needed.'
end
