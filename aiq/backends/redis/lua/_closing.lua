-- closing: what becomes of reservations: reports, the end of a run, a lost lease, and a provider's 429.
--
-- A report is a map with the fields of `Report`.
-- spec: CALL-4, CALL-9 to CALL-14, USAGE-1 to USAGE-6, EST-3, FAIR-2, LIMIT-10, LIMIT-11, LIMIT-12, BUDGET-4

local FIRST = 0
-- How a run ends that need not have called anybody.
local UNHARMED = {Released = true, Deferred = true, Held = true}

-- Let the service of the job's line follow what was used instead of what was expected. spec: FAIR-2
local function settle_order(job, found, account)
  local more = accounting.in_order(found, account)
  if more ~= 0 then books.serve(job, more) end
end

local function each(list, of)
  local found = {}
  for place, one in ipairs(list) do found[place] = of(one) end
  return found
end

-- Close an open reservation: what is counted of it from now on is what was used, or what stands for it.
--
-- Where nobody said anything limits follow what was reserved: a provider may have been called all the same, and what
-- was taken too much comes back by itself. Use and budgets, which nothing refills, follow `usage.guess`. spec: CALL-12
local function close(job, found, how, used)
  local need = usage.guess(found, how)
  local account = #used > 0 and usage.reported(found, used) or usage.silent(found, how, need)
  usage.count(job, found.job_id, usage.lines(found, found.used), account.lines)
  local parts = each(found.parts, function(part) return accounting.closed_part(how, part, account, true) end)
  local draws = each(found.draws, function(draw) return accounting.closed_draw(how, draw, account) end)
  books.put_reservation(rows.with(found, {
    state = how, used = used, need = need, parts = parts, draws = draws, closed_at_ms = step.now_ms,
  }))
  if how ~= 'expired' then settle_order(job, found, account) end
  -- One that used no tokens was refused for what it asked, and tells nothing of what others will need.
  if how == 'settled' and usage.any(used) then usage.teach(job, found.need.model, used) end
end

-- A reservation for a call that had none, if it has used something: that is counted, and drawn from the budgets of the
-- job. A call that only stood in line leaves it.
local function unreserved(job, told)
  if told.state ~= 'open' then calls.leave_line(job.id, job.fence, told.call) end
  if #(told.used or {}) == 0 then return nil end
  local model = jobs.model(job)
  return setmetatable({
    job_id = job.id,
    fence = job.fence,
    call = told.call,
    need = usage.no_need(model),
    draws = each(drawing.chain(job), function(spec)
      local window_ms = drawing.state_of(spec).window_ms
      return setmetatable({budget = spec.id, window_ms = window_ms}, defaults.Draw)
    end),
    prices = drawing.prices_of(model, step.now_ms),
    cost = 0,
    opened_at_ms = step.now_ms,
  }, defaults.Reservation)
end

local function count_so_far(job, found, used)
  if rows.same(used, found.used) then return end
  local account = usage.reported(found, used)
  usage.count(job, found.job_id, usage.lines(found, found.used), account.lines)
  local parts = each(found.parts, function(part) return accounting.part_so_far(part, account) end)
  local draws = each(found.draws, function(draw) return accounting.draw_so_far(draw, account) end)
  books.put_reservation(rows.with(found, {used = used, parts = parts, draws = draws}))
end

-- Settle at once what call 0 has. It stays open with its units to the end of its run, and what is reported until then
-- is counted too. Where nobody says what it used, the end of the run decides. spec: CALL-4, CALL-12
local function settle_first(job, found, how, used)
  if how == 'settled' and #used == 0 then return end
  local account = usage.reported(found, used)
  usage.count(job, found.job_id, usage.lines(found, found.used), account.lines)
  local parts = each(found.parts, function(part) return accounting.closed_part(how, part, account, false) end)
  local draws = each(found.draws, function(draw) return accounting.closed_draw(how, draw, account) end)
  local need = usage.no_need(found.need.model)
  local changes = {used = used, need = need, parts = parts, draws = draws, cost = 0, cost_limit = none}
  books.put_reservation(rows.with(found, changes))
  settle_order(job, found, account)
end

-- How a call ends by what was said of it: one that has used tokens was sent.
local function ending_of(told, used)
  return told.state == 'unsent' and usage.any(used) and 'settled' or told.state
end

-- Lower a limit to what its provider says is left. spec: LIMIT-12
local function sync(job, remaining)
  local spec = books.limit(remaining.limit)
  local part = spec and standing.key_of(spec, job)
  if not part then return end
  local state = standing.state_of({spec = spec, key = part})
  books.put_limit_state(spec.name, part, limits.synced(spec, state, remaining))
end

local function heard(job, found, told)
  local used = usage.merged(found.used, told.used or {}, found.need.model)
  local how = ending_of(told, used)
  if how == 'open' then
    count_so_far(job, found, used)
  elseif found.call == FIRST then
    if rows.same(used, found.used) and found.cost == 0 then return end
    settle_first(job, found, how, used)
  else
    close(job, found, how, used)
    accounting.pass_units_on(found)
  end
  if told.state == 'throttled' then
    for _, part in ipairs(found.parts) do
      local throttle = {limit = part.limit, key = part.key, tokens = part.charge, retry_after_ms = told.retry_after_ms}
      if not part.limit:find('^queue:') then closing.throttle(throttle) end
    end
  end
  for _, remaining in ipairs(told.remaining or {}) do sync(job, remaining) end
end

-- Whether what is counted of a closed call was never said to be all.
local function assumed(found)
  return found.state == 'expired' or (found.state == 'settled' and #found.used == 0)
end

-- Let what a call has used take the place of what was assumed of it, once. It neither teaches, nor moves the order.
-- spec: CALL-13, USAGE-4
local function correct(job, found, told)
  if told.state == 'open' or not assumed(found) then return end
  local used = usage.merged(found.used, told.used or {}, found.need.model)
  if told.state == 'settled' and #used == 0 then return end
  local how = ending_of(told, used)
  local closed = rows.with(found, {state = how, used = used})
  local before, guessed = usage.standing(found.state, found.used, found.need)
  local account = usage.reported(found, used)
  usage.count(job, found.job_id, usage.lines(found, before, guessed), account.lines)
  local parts = each(found.parts, function(part) return accounting.corrected_part(closed, part) end)
  local draws = each(found.draws, function(draw) return accounting.closed_draw(how, draw, account) end)
  books.put_reservation(rows.with(closed, {parts = parts, draws = draws}))
end

-- Count what a call has used so far, or in the end, and close it when the report says so. A repeat changes nothing.
--
-- `current` says that the lease of the report owns the job (expired or not); `job` is nil when it is not stored any
-- more. Without `current` only a call that was reserved is corrected, and the answer is {late = true}; else it is
-- {lost = why}. When a settled report with use is answered and `current`, the caller clears the job's `deferred_at_ms`.
-- A throttled one pauses the limits of its call. spec: CALL-9 to CALL-14, LIMIT-10, LIMIT-12
function closing.report(job, told, current)
  local lease = told.lease
  local found = books.reservation(lease.job_id, lease.fence, told.call)
  if not job or not current then
    if not found then return {lost = leases.lost(job, lease) or 'taken'} end
    correct(job, found, told)
    return {late = true}
  end
  found = found or unreserved(job, told)
  if found and found.state == 'open' then
    heard(job, found, told)
  elseif found then
    correct(job, found, told)
  end
  return {cancel_requested = job.cancel_requested_at_ms ~= nil}
end

-- Close what a run has open, and take its calls out of line. `job` still runs: before the move. spec: CALL-12
function closing.close_run(job, outcome)
  calls.leave_line(job.id, job.fence)
  local unused = job.opened_calls or UNHARMED[outcome.kind]
  for _, found in ipairs(books.open_reservations(job.id, job.fence)) do
    local unsent = found.call == FIRST and unused and #found.used == 0
    close(job, found, unsent and 'unsent' or 'settled', found.used)
  end
end

-- Charge all that a run has open, and take its calls out of line. `job` still runs: before the move.
--
-- For an expired lease, a forced cancel, and the end of a cancel's grace. spec: CALL-13, BUDGET-4
function closing.revoke_run(job)
  calls.leave_line(job.id, job.fence)
  for _, found in ipairs(books.open_reservations(job.id, job.fence)) do close(job, found, 'expired', found.used) end
end

-- Pause a limit after a 429, a map with the fields of `Throttle`; a name that is not stored is left out. With the job
-- that met it, the part that pauses is the job's own, whatever the limit goes by: a worker knows only its name.
-- spec: LIMIT-10, LIMIT-11
function closing.throttle(one, job)
  local spec = books.limit(one.limit)
  local part = one.key or ''
  if spec and job then part = standing.key_of(spec, job) end
  if not spec or not part then return end
  local state = standing.state_of({spec = spec, key = part})
  state = limits.throttled(spec, state, one.tokens or 0, one.retry_after_ms, step.now_ms)
  books.put_limit_state(spec.name, part, state)
end
