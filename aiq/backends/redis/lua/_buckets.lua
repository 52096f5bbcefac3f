-- buckets: token buckets in whole numbers: no store rounds a level, so all of them agree to the last unit.
--
-- As aiq/rules/buckets.py. A scale is {sub, step, capacity}: `sub` sub-units make one unit, a ms at pace 1 per mille
-- adds `step` of them, and `capacity` of them is the most that a level holds: at most half of 2^53. Comparisons of
-- products that may pass 2^53 with a capacity are right although the products are rounded, since rounding keeps order.
-- spec: LIMIT-4

-- The pace of a limit that nobody slows down, per mille.
buckets.FULL_PACE = 1000
-- The scale of a bucket that a limit does not have.
buckets.NOTHING = {sub = 1, step = 0, capacity = 0}

local FULL_PACE = 1000
local made = {}

local function gcd(a, b)
  while b ~= 0 do a, b = b, a % b end
  return a
end

local function within(table_, name)
  local found = table_[name]
  if not found then
    found = {}
    table_[name] = found
  end
  return found
end

-- Sub-units so small that `rate` units in `per_ms` are a whole number of them in a ms, at every pace. Worked out once
-- in a step.
function buckets.scale(rate, per_ms, burst_ms)
  local known = within(within(made, rate), per_ms)
  local found = known[burst_ms]
  if not found then
    local common = gcd(rate, per_ms)
    local one = rate / common
    found = {sub = FULL_PACE * (per_ms / common), step = one, capacity = burst_ms * one * FULL_PACE}
    known[burst_ms] = found
  end
  return found
end

-- The capacity in whole units, rounded down.
function buckets.whole(found)
  return math.floor(found.capacity / found.sub)
end

-- The level that so much time fills at full pace, at most the capacity.
function buckets.opening(found, span_ms)
  return math.min(span_ms * found.step * FULL_PACE, found.capacity)
end

-- The level after some time at one pace.
function buckets.refilled(found, level, pace, elapsed_ms)
  if level >= found.capacity then return found.capacity end
  return math.min(found.capacity, exact.dot(level, 1, elapsed_ms, found.step * pace))
end

-- The time that refills what is lacking, rounded up; 0 when nothing is.
function buckets.wait_ms(found, lack, pace)
  return lack > 0 and exact.ceildiv(lack, found.step * pace) or 0
end

-- A level within what a bucket can say: its capacity above, and below the largest debt that is kept exactly.
function buckets.bounded(found, level)
  if level > found.capacity then return found.capacity end
  return math.max(-bounds.MAX_LEVEL, level)
end
