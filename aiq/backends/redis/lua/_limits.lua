-- limits: what is left of a limit, and what each step of a call changes of it.
--
-- As aiq/rules/limits.py, and as exact: a level, and what is held, are whole sub-units, and divisions round waiting
-- times up and everything else down. `spec` is a row with the defaults of `LimitSpec`, `state` one with those of
-- `LimitState`, `part` one with those of `Part`; no function changes what it was handed. A time of nil is None: until
-- somebody gives something back. What only refuses what users write (`check_limit`), and the limit
-- that a queue's settings make (`of_queue`), is the face's.
-- spec: LIMIT-1 to LIMIT-17, CALL-1 to CALL-17

local TOP = 2 ^ 53

local function of_requests(spec)
  return spec.requests and buckets.scale(spec.requests, spec.per_ms, spec.burst_ms) or buckets.NOTHING
end

local function of_tokens(spec)
  return spec.tokens and buckets.scale(spec.tokens, spec.per_ms, spec.burst_ms) or buckets.NOTHING
end

-- The pace in force at the state's own instant. spec: LIMIT-7
local function pace_of(spec, state)
  local age_ms = state.at_ms - state.born_ms
  if age_ms >= spec.ramp_ms then return state.pace end
  local above = math.floor((buckets.FULL_PACE - paces.LEAST_PACE) * age_ms / spec.ramp_ms)
  return math.min(state.pace, paces.LEAST_PACE + above)
end

-- A level that whole units are added to or taken from.
local function shifted(found, level, count)
  return buckets.bounded(found, exact.dot(level, 1, count, found.sub))
end

-- Move whole units. Without a bucket the level stays 0, while what is held is still counted: the limit may have had
-- tokens when the call was admitted, and have them again when it ends. A state that is written out whole costs a third
-- of one that is copied, and each call has several.
local function moved(spec, state, by)
  local by_token = of_tokens(spec)
  local level, token_level = state.requests, state.tokens
  if not spec.requests then
    level = 0
  elseif (by.requests or 0) ~= 0 then
    level = shifted(of_requests(spec), level, by.requests)
  end
  if not spec.tokens then
    token_level = 0
  elseif (by.tokens or 0) ~= 0 then
    token_level = shifted(by_token, token_level, by.tokens)
  end
  return setmetatable({
    at_ms = state.at_ms,
    born_ms = state.born_ms,
    requests = level,
    tokens = token_level,
    held = state.held + (by.held or 0) * by_token.sub,
    pace = state.pace,
    paced_at_ms = state.paced_at_ms,
    frozen_until_ms = state.frozen_until_ms,
    running = state.running + (by.units or 0),
    strikes = by.strikes or state.strikes,
  }, defaults.LimitState)
end

-- What is too much to be counted without looking at how it is rounded.
local FAR = 2 ^ 52

-- What whole units come to on a limit, {requests, tokens, held, units} as `moved` has them, for `limits.change`; nil of more
-- than can be said without rounding.
function limits.change_of(spec, by)
  local by_request, by_token = of_requests(spec), of_tokens(spec)
  local found = {
    requests = spec.requests and (by.requests or 0) * by_request.sub,
    tokens = spec.tokens and (by.tokens or 0) * by_token.sub,
    held = (by.held or 0) * by_token.sub, units = by.units or 0, strikes = by.strikes,
    by_request = by_request, by_token = by_token,
  }
  for _, name in ipairs({'requests', 'tokens', 'held'}) do
    if math.abs(found[name] or 0) >= FAR then return nil end
  end
  return found
end

-- The same as `moved`, of a state that is the caller's own and is changed in place, as one that many alike change at once.
function limits.change(state, change)
  if not change.requests then
    state.requests = 0
  elseif change.requests ~= 0 then
    state.requests = buckets.bounded(change.by_request, state.requests + change.requests)
  end
  if not change.tokens then
    state.tokens = 0
  elseif change.tokens ~= 0 then
    state.tokens = buckets.bounded(change.by_token, state.tokens + change.tokens)
  end
  state.held = state.held + change.held
  state.running = math.max(0, state.running + change.units)
  if change.strikes then state.strikes = change.strikes end
end

-- What is still to be taken of what was used; below zero what comes back, if anything does.
local function owed(spec, charged, used)
  return spec.refund and used - charged or math.max(0, used - charged)
end

-- A new limit, or a new part of one with a `by`: a policy of our own, which no provider has to get used to.
function limits.opening(spec, now_ms)
  local span_ms = spec.by and spec.burst_ms or paces.OPENING_MS
  return setmetatable({
    at_ms = now_ms,
    born_ms = now_ms,
    requests = buckets.opening(of_requests(spec), span_ms),
    tokens = buckets.opening(of_tokens(spec), span_ms),
    paced_at_ms = now_ms,
  }, defaults.LimitState)
end

-- Bring a limit up to now, at the pace in force when it was last brought up. A clock that went back does nothing.
--
-- Keep the answer whenever it was the ground of a decision, a refusal too: the waiting time that was told counts from
-- it, and a pace that rises in between would make the time fall short. spec: LIMIT-5, LIMIT-7, LIMIT-8
function limits.refilled(spec, state, now_ms)
  if now_ms <= state.at_ms then return state end
  local pace, elapsed_ms = pace_of(spec, state), now_ms - state.at_ms
  local slow = state.pace < buckets.FULL_PACE
  local steps = slow and math.floor((now_ms - state.paced_at_ms) / paces.PACE_STEP_MS) or 0
  return setmetatable({
    at_ms = now_ms,
    born_ms = state.born_ms,
    requests = buckets.refilled(of_requests(spec), state.requests, pace, elapsed_ms),
    tokens = buckets.refilled(of_tokens(spec), state.tokens, pace, elapsed_ms),
    held = state.held,
    pace = math.min(buckets.FULL_PACE, state.pace + paces.PACE_STEP * steps),
    paced_at_ms = state.paced_at_ms + paces.PACE_STEP_MS * steps,
    frozen_until_ms = state.frozen_until_ms,
    running = state.running,
    strikes = state.strikes,
  }, defaults.LimitState)
end

-- How long until a level has room for `own` behind `ahead` whole units; 0 when it has.
local function lacking_ms(found, ahead, own, level, pace)
  local lack = ahead * found.sub + (own - level)
  if lack < TOP then return buckets.wait_ms(found, lack, pace) end
  local whole, rest = exact.sum_over(found.step * pace, ahead, found.sub, own, 1, -level, 1)
  return rest > 0 and whole + 1 or whole
end

-- How long until a call may take its part: 0 is now, nil is when somebody gives something back.
--
-- `state` is brought up to now. `ahead` are the requests, charge and rest of all who go before (nothing, if it is not
-- given): the call may pass them only where what is left is enough for them and itself, so the full-bucket rule is
-- theirs. spec: LIMIT-5, LIMIT-6, LIMIT-9, CALL-5, CALL-6, CALL-16
function limits.wait_ms(spec, state, part, ahead)
  local requests, charge, rest = 0, 0, 0
  if ahead then requests, charge, rest = ahead[1], ahead[2], ahead[3] end
  if part.slot and spec.concurrency and state.running + requests >= spec.concurrency then return nil end
  -- A run that goes on after a wait takes its unit alone, which neither a debt nor a pause keeps it from.
  if part.requests == 0 and part.charge == 0 and part.rest == 0 then return 0 end
  local longest = math.max(0, state.frozen_until_ms - state.at_ms)
  local pace = pace_of(spec, state)
  if spec.requests then
    local found = of_requests(spec)
    local own = math.min(part.requests * found.sub, found.capacity)
    longest = math.max(longest, lacking_ms(found, requests, own, state.requests, pace))
  end
  if spec.tokens then
    local found = of_tokens(spec)
    if state.held + part.rest * found.sub > bounds.MAX_LEVEL then return nil end
    local own = math.min((part.charge + part.rest) * found.sub + state.held, found.capacity)
    longest = math.max(longest, lacking_ms(found, charge + rest, own, state.tokens, pace))
  end
  return longest
end

local function take_of(part)
  return {requests = -part.requests, tokens = -part.charge, held = part.rest, units = part.slot and 1 or 0}
end

-- Take what was admitted, the unit of concurrency with it. spec: CALL-1
function limits.taken(spec, state, part)
  return moved(spec, state, take_of(part))
end

-- What taking a part changes, and asks for (`limits.has_room`), worked out once for all whose part is the same; nil of one
-- that is as large as no other.
function limits.taking(spec, part)
  local found = limits.change_of(spec, take_of(part))
  if not found then return nil end
  found.concurrency = part.slot and spec.concurrency
  found.asked = math.min(part.requests * found.by_request.sub, found.by_request.capacity)
  found.asked_tokens = (part.charge + part.rest) * found.by_token.sub
  return found
end

-- Whether a limit has room now for what is taken so, while nobody goes before it: `limits.wait_ms` is 0 then.
function limits.has_room(state, taking)
  if taking.concurrency and state.running >= taking.concurrency then return false end
  if state.frozen_until_ms > state.at_ms or taking.requests and taking.asked > state.requests then return false end
  if not taking.tokens then return true end
  if state.held + taking.held > bounds.MAX_LEVEL then return false end
  return math.min(taking.asked_tokens + state.held, taking.by_token.capacity) <= state.tokens
end

-- Give back what a call took that was never sent. One that was refused for its rate keeps the request: pass its part
-- without it. The unit of concurrency is `released` apart. spec: CALL-3, CALL-11
function limits.returned(spec, state, part)
  return moved(spec, state, {requests = part.requests, tokens = part.charge, held = -part.rest})
end

-- Count use so far: all of it, in weighted tokens, as in every report of the call. What goes beyond the charge is moved
-- out of what is held, and then is taken on top. Keep the new part, the second answer. spec: CALL-10
function limits.reported(spec, state, part, used)
  local more = used - part.charge
  if more <= 0 then return state, part end
  local out = math.min(more, part.rest)
  state = moved(spec, state, {tokens = -more, held = -out})
  return state, rows.with(part, {charge = used, rest = part.rest - out})
end

-- Count what a call has used in the end, in weighted tokens. The unit of concurrency is `released` apart.
-- spec: CALL-9, LIMIT-11
function limits.settled(spec, state, part, used)
  return moved(spec, state, {tokens = -owed(spec, part.charge, used), held = -part.rest, strikes = 0})
end

-- What such an end changes, with the unit of a part that has one, for `limits.change`.
function limits.settling(spec, part, used)
  local units = part.slot and -1 or 0
  return limits.change_of(spec, {tokens = -owed(spec, part.charge, used), held = -part.rest, strikes = 0, units = units})
end

-- Charge everything that a lost run took or held; keep charge + rest as what was assumed. spec: CALL-13
function limits.expired(spec, state, part)
  return moved(spec, state, {tokens = -part.rest, held = -part.rest})
end

-- Count what a lost run has used in place of what was assumed, as a settlement would have. spec: CALL-13
function limits.corrected(spec, state, assumed, used)
  return moved(spec, state, {tokens = -owed(spec, assumed, used)})
end

-- Give back one unit of concurrency. spec: CALL-15
function limits.released(state)
  return rows.with(state, {running = math.max(0, state.running - 1)})
end

-- Half the time that the rate needs for the call, doubled for every answer in a row. spec: LIMIT-11
local function guessed_pause_ms(spec, state, strikes, tokens)
  local found, count = of_requests(spec), 1
  if spec.tokens then found, count = of_tokens(spec), tokens end
  local rate, half_ms = found.step * pace_of(spec, state), 0
  if rate > 0 then
    local whole, rest = exact.product_over(count, found.sub, 2 * rate)
    half_ms = rest > 0 and whole + 1 or whole
  end
  -- Six doublings pass the longest pause, so more of them need not be computed.
  return math.min(paces.LONGEST_PAUSE_MS, math.max(paces.LEAST_PAUSE_MS, half_ms) * 2 ^ math.min(strikes, 6))
end

local function lowered(spec, state, tokens, retry_after_ms)
  local pace = pace_of(spec, state)
  local by_token = spec.tokens ~= nil
  if not by_token and not spec.requests then return state end
  local found, count = of_requests(spec), 1
  if by_token then found, count = of_tokens(spec), tokens end
  local most = buckets.bounded(found, exact.dot(count, found.sub, -retry_after_ms, found.step * pace))
  if by_token then return rows.with(state, {tokens = math.min(state.tokens, most)}) end
  return rows.with(state, {requests = math.min(state.requests, most)})
end

-- Learn from a 429 for a call of `tokens`: what the provider's own bucket holds at most, and that it is too fast.
--
-- A provider that says "after R" to a call of n has at most n − R·rate left. spec: LIMIT-10, LIMIT-11
function limits.throttled(spec, state, tokens, retry_after_ms, now_ms)
  state = limits.refilled(spec, state, now_ms)
  local frozen, strikes = state.at_ms < state.frozen_until_ms, state.strikes
  if not retry_after_ms then
    -- Of calls that were under way together the first is a strike; the others know no more than it did.
    if not frozen then strikes = strikes + 1 end
    retry_after_ms = guessed_pause_ms(spec, state, math.max(0, strikes - 1), tokens)
  end
  local until_ms = math.min(state.at_ms + retry_after_ms, bounds.MAX_INSTANT_MS)
  local changed = {frozen_until_ms = math.max(state.frozen_until_ms, until_ms), strikes = strikes}
  if not frozen then
    -- More 429s of calls that were under way already say nothing new of the pace.
    changed.pace = math.max(paces.LEAST_PACE, math.floor(state.pace * 9 / 10))
    changed.paced_at_ms = state.at_ms
  end
  return rows.with(lowered(spec, state, tokens, retry_after_ms), changed)
end

-- Lower levels to what the provider says is left; never raise one. `state` is brought up to now. spec: LIMIT-12
function limits.synced(spec, state, remaining)
  local requests, tokens = state.requests, state.tokens
  if spec.requests and remaining.requests then
    requests = math.min(requests, remaining.requests * of_requests(spec).sub)
  end
  if spec.tokens and remaining.tokens then tokens = math.min(tokens, remaining.tokens * of_tokens(spec).sub) end
  return rows.with(state, {requests = requests, tokens = tokens})
end

local function carried(old, new, level)
  if new == buckets.NOTHING then return 0 end
  if old == buckets.NOTHING then return buckets.opening(new, paces.OPENING_MS) end
  return buckets.bounded(new, exact.muldiv(level, new.sub, old.sub))
end

-- Carry what is left of a limit over to its new numbers, at most its new capacity; what is held goes along exactly.
--
-- A bucket that is new begins as in a new limit. It is refused where what open calls hold is too large to be counted in
-- the new sub-units, and so nothing may be written before; with `late` that was looked at before, and what was taken since
-- is cut to what can be counted. spec: LIMIT-1, LIMIT-13
function limits.reshaped(old, new, state, now_ms, late)
  state = limits.refilled(old, state, now_ms)
  local held = math.floor(state.held / of_tokens(old).sub) * of_tokens(new).sub
  if late then
    held = math.min(held, bounds.MAX_LEVEL)
  elseif held > bounds.MAX_LEVEL then
    local text = 'Calls hold too much of limit "' .. new.name .. '" for it; choose a rounder number of tokens.'
    step.refuse('InvalidInput', {text})
  end
  return rows.with(state, {
    requests = carried(of_requests(old), of_requests(new), state.requests),
    tokens = carried(of_tokens(old), of_tokens(new), state.tokens),
    held = held,
  })
end

-- How a limit stands now, in whole units rounded down, as a row of `LimitStatus`. `state` is nil where nothing was
-- taken of it yet. Changes nothing.
function limits.status(spec, key_, state, now_ms, waiting)
  local used = state ~= nil
  state = used and limits.refilled(spec, state, now_ms) or limits.opening(spec, now_ms)
  local by_request, by_token, pace = of_requests(spec), of_tokens(spec), pace_of(spec, state)
  return {
    spec = spec,
    key = key_,
    used = used,
    requests_left = spec.requests and math.floor(state.requests / by_request.sub),
    tokens_left = spec.tokens and math.floor(state.tokens / by_token.sub),
    tokens_held = math.floor(state.held / by_token.sub),
    pace = pace,
    frozen_ms = math.max(0, state.frozen_until_ms - state.at_ms),
    running = state.running,
    waiting = waiting,
    debt_ms = math.max(
      buckets.wait_ms(by_request, -state.requests, pace),
      buckets.wait_ms(by_token, -state.tokens, pace)
    ),
  }
end

-- Whether nothing of a part is taken, held or slowed down any more, and it is full. spec: LIMIT-17
function limits.at_rest(spec, state, now_ms)
  state = limits.refilled(spec, state, now_ms)
  local full = state.requests == of_requests(spec).capacity and state.tokens == of_tokens(spec).capacity
  local quiet = state.held == 0 and state.running == 0 and pace_of(spec, state) == buckets.FULL_PACE
  return full and quiet and state.frozen_until_ms <= state.at_ms
end

-- Whether a part is taken at once for more than both the capacity and one period. Ask it of what was declared.
-- spec: CALL-17
function limits.never_fits(spec, part)
  -- More than one period is more than most calls need, so the capacity is seldom looked at.
  if not spec.tokens or part.charge <= spec.tokens then return false end
  return part.charge > charging.most_at_once(spec, spec.tokens)
end
