-- usage: what calls have used: what reports add up to, what it costs, and what is counted of it.
--
-- A use is a map with `model` and `tokens` by category, none of them 0. Lines are what is counted of a call, by the
-- names that `consumption.line` makes of model and category: a map with the fields of `Counted`.
-- spec: USAGE-1, USAGE-2, USAGE-4, USAGE-5, USAGE-6, USAGE-9, EST-3

local COLUMNS = {'tokens', 'usd_micros', 'unpriced', 'estimated'}
local NOTHING = {tokens = 0, usd_micros = 0, unpriced = 0, estimated = 0}
-- Categories that a model makes; every other one goes into it.
local PRODUCED = {output = true, reasoning = true}

-- Whether some of what was used are tokens.
function usage.any(used)
  for _, one in ipairs(used) do
    if next(one.tokens or {}) ~= nil then return true end
  end
  return false
end

-- Everything that a call has used by what was said of it so far; `model` is that of a use that names none.
--
-- Of each category the most that was said counts, so that reports may come twice and in any order. spec: USAGE-2
function usage.merged(known, told, model)
  local most, found = {}, {}
  for _, list in ipairs({known, told}) do
    for _, one in ipairs(list) do
      local name = (one.model or '') ~= '' and one.model or model
      most[name] = most[name] or {}
      for category, count in pairs(one.tokens or {}) do
        if count > 0 then most[name][category] = math.max(count, most[name][category] or 0) end
      end
    end
  end
  for _, name in ipairs(order.names(most)) do found[#found + 1] = {model = name, tokens = most[name]} end
  return found
end

-- What stands for a call of which nobody says what it used. spec: USAGE-4
function usage.expected(need)
  local tokens = {}
  if need.input ~= 0 then tokens.input = need.input end
  if need.output ~= 0 then tokens.output = need.output end
  return {{model = need.model, tokens = tokens}}
end

-- A need of a model, and of nothing.
function usage.no_need(model)
  return setmetatable({model = model}, defaults.Need)
end

-- What may stand for the use of an open call: its need, if somebody declared it, or tokens were taken for it.
--
-- Of a job that ran to its end without opening a call, and that nobody declared anything of, nothing: it may never ask
-- a model, and must not be charged for what it did not do. spec: USAGE-4
function usage.guess(reservation, how)
  local need = reservation.need
  if need.declared then return need end
  local reserved = #reservation.draws > 0
  for _, part in ipairs(reservation.parts) do reserved = reserved or part.charge > 0 or part.rest > 0 end
  local ended_ = reservation.call == 0 and how == 'settled'
  return reserved and not ended_ and need or usage.no_need(need.model)
end

-- What is counted of a call in some state, and whether it is an estimate.
function usage.standing(state, used, need)
  if #used > 0 or (state ~= 'settled' and state ~= 'expired') then return used, false end
  return usage.expected(need), true
end

local function account(counted, charged, lines, guessed)
  local usd_micros = 0
  for _, line in pairs(lines) do usd_micros = usd_micros + line.usd_micros end
  return {
    counted = counted, charged = charged, lines = lines, guessed = guessed, usd_micros = usd_micros,
    on_limits = {}, on_budgets = {},
  }
end

-- What stands for a call that has said what it used, or that has used nothing.
function usage.reported(reservation, used)
  return account(used, used, usage.lines(reservation, used), false)
end

-- What stands for a call of which nobody says what it used, where `need` is the guess. Limits follow what was reserved
-- all the same. spec: CALL-12
function usage.silent(reservation, how, need)
  local counted, guessed = usage.standing(how, {}, need)
  local charged = usage.standing(how, {}, reservation.need)
  return account(counted, charged, usage.lines(reservation, counted, guessed), guessed)
end

local function prices_of(reservation, model)
  if model == reservation.need.model then return reservation.prices end
  return drawing.prices_of(model, reservation.opened_at_ms)
end

-- Use by model and category, at the prices that held when the call was admitted.
--
-- What a model costs is rounded up once; a category counts for what it adds to those before it, so that the sum is
-- exact. spec: USAGE-5, USAGE-6, USAGE-9
function usage.lines(reservation, used, estimated)
  local found = {}
  for _, one in ipairs(used) do
    local charged, names, paid = prices_of(reservation, one.model), order.names(one.tokens), 0
    local free = next(charged) == nil
    local sums = free and {} or prices.so_far(names, one.tokens, charged)
    for place, category in ipairs(names) do
      local tokens, sum = one.tokens[category], sums[place] or 0
      local unpriced = charged[category] and 0 or tokens
      found[consumption.line(one.model, category)] = {
        tokens = tokens, usd_micros = sum - paid, unpriced = unpriced, estimated = estimated and tokens or 0,
      }
      paid = sum
    end
  end
  return found
end

-- What is counted now and was not before, or the other way round.
local function more_of(old, new)
  local found = {}
  for _, lines in ipairs({old, new}) do
    for line in pairs(lines) do
      local before, after, more, differs = old[line] or NOTHING, new[line] or NOTHING, {}, false
      for _, column in ipairs(COLUMNS) do
        more[column] = after[column] - before[column]
        differs = differs or more[column] ~= 0
      end
      if differs then found[line] = more end
    end
  end
  return found
end

-- Count the difference between two states of a call, in the present minute. spec: USAGE-1
--
-- `job` is nil where it is not stored any more.
function usage.count(job, job_id, old, new)
  local more = next(old) == nil and new or more_of(old, new)
  if next(more) == nil then return end
  local minute_ms = step.now_ms - step.now_ms % metrics.MINUTE_MS
  local owner = {minute_ms = minute_ms, job_id = job_id, tenant = '', queue = '', task = ''}
  if job then
    owner.flow, owner.tenant, owner.queue, owner.task = job.flow, job.tenant, job.queue, job.task
  end
  books.add_usage(owner, more)
end

-- Let a task and model learn from what a call was reported to have used. spec: EST-3
function usage.teach(job, model, used)
  local output, sent = 0, 0
  for _, one in ipairs(used) do
    for category, tokens in pairs(one.tokens) do
      if PRODUCED[category] then output = output + tokens else sent = sent + tokens end
    end
  end
  books.put_learned(job.task, model, estimates.taught(books.learned(job.task, model), sent, output))
end
