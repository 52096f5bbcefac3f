-- dispatch: the order of a claim: which ready job of a queue is next, and what becomes of one that cannot be given.
--
-- As aiq/rules/dispatch.py. `ground` is the queue as `yard` has it, which is asked for pools, bands, lines, heads and
-- credits and told what becomes of a job; `books.serve` lets the service of a job's line rise.
-- spec: chapter 12

-- What may pass a pool's head is one part in so many of its cost: a head waits at most that much longer for them.
local BYPASS = 4

local function wake_ms(found)
  if not found.wait_ms then return bounds.MAX_INSTANT_MS end
  return math.min(bounds.MAX_INSTANT_MS, step.now_ms + found.wait_ms)
end

-- Give a job to the claim, and tell what it cost; 0 when the claim has no room for it and ends. spec: FAIR-1
local function give(claimed, offer, found)
  local stand, record = offer.stand, offer.head.record
  if not claimed.takes(record) then
    claimed.left = 0
    return 0
  end
  local cost = planning.book(record, record.fence + 1, found)
  offers.pay(claimed.floor, offer, cost)
  if stand.pool.name ~= fairness.PLAIN then stand.served[record.band] = books.serve(record, cost) end
  if stand.pool.head == record.id then offers.change(stand, {head = '', bypass = 0}) end
  yard.give(claimed.ground, record)
  claimed.left = claimed.left - 1
  offers.forget(stand, record.band)
  return cost
end

-- Do with a job what its budget says. spec: HOLD-1, HOLD-5, HOLD-6
local function exceed(claimed, record, found)
  local budget = found.budget
  local way = budget.on_exceeded
  local onward = way == 'degrade' and routes.next_open(record) or nil
  if way == 'fail' then
    yard.refuse(claimed.ground, record, {type = 'BudgetExceeded', message = found.text, cause = 'budget'})
  elseif onward then
    offers.flush(claimed.floor)
    yard.reroute(claimed.ground, record, onward)
    offers.read(claimed.floor)
  else
    local reason = way == 'approve' and 'approval' or 'budget'
    yard.hold(claimed.ground, record, reason, budget.id, found.need)
  end
end

-- Put a job where it is in nobody's way, other than its own tenant's or key's.
local function refuse(claimed, stand, head, found)
  claimed.tries = claimed.tries - 1
  local record = head.record
  if found.seen then planning.keep(found.seen) end
  if found.reason then
    yard.hold(claimed.ground, record, found.reason, found.by, {})
  elseif found.budget then
    exceed(claimed, record, found)
  elseif found.by == 'tenant' then
    -- A limit by tenant refuses all that stand in the line; the lines of others go on. spec: LIMIT-15
    local parked_ = {wake_at_ms = wake_ms(found), parked_by = found.limit}
    yard.put_line(claimed.ground, rows.with(head.line, parked_))
  else
    yard.set_aside(claimed.ground, record, found.limit, found.key, wake_ms(found))
  end
  offers.forget(stand, record.band)
end

-- Whether a limit has no room that all of the pool take from.
local function blocks_pool(found)
  return found.limit ~= nil and not found.by
end

-- Give a job that stands behind the pool's head, and tell what it cost; 0 if it must not or cannot be given.
local function pass(claimed, offer, head)
  if booking.quote(head.record) > offer.stand.pool.bypass then
    claimed.tries = claimed.tries - 1
    return 0
  end
  local found = planning.plan(head.record)
  if found.takings then return give(claimed, rows.with(offer, {head = head, passing = true}), found) end
  if blocks_pool(found) then
    claimed.tries = claimed.tries - 1
  else
    refuse(claimed, offer.stand, head, found)
  end
  return 0
end

local function line_after(claimed, stand, band, line)
  if claimed.left == 0 or claimed.tries == 0 or stand.pool.bypass == 0 then return nil end
  return yard.line(claimed.ground, stand.pool.name, band, {line.service, line.digest})
end

-- Offer what the head leaves to the heads of other lines of its band, in the order of service. spec: POOL-2
local function let_pass(claimed, offer)
  local stand, band, passed = offer.stand, offer.head.record.band, false
  local line = offer.head.line
  for _ = 1, bounds.MAX_BYPASSED do
    line = line_after(claimed, stand, band, line)
    local record = line and yard.head(claimed.ground, line)
    if not record then break end
    local cost = pass(claimed, offer, {line = line, record = record})
    if cost ~= 0 then
      offers.change(stand, {bypass = stand.pool.bypass - cost})
      passed = true
    end
  end
  return passed
end

-- Let a few small jobs pass, and leave the pool until its head may be admitted. spec: POOL-1, POOL-2
local function park_pool(claimed, offer, found)
  claimed.tries = claimed.tries - 1
  local stand, record = offer.stand, offer.head.record
  if stand.pool.head ~= record.id then
    offers.change(stand, {head = record.id, bypass = math.floor(booking.quote(record) / BYPASS)})
  end
  if let_pass(claimed, offer) then
    -- What has passed has taken from what the head waits for.
    local again = planning.plan(record)
    if blocks_pool(again) then found = again end
  end
  planning.keep(found.seen)
  offers.change(stand, {wake_at_ms = wake_ms(found), parked_by = found.limit})
  offers.close(claimed.floor, stand)
end

-- Give up to `count` ready jobs, at least one, of a queue to the claim, in the order of chapter 12.
--
-- `takes` is asked once about each job that is about to be given, and its first false ends the claim (CLAIM-11): nothing
-- was taken for that job. `yard.give` leases it, and lets the lines, pools and bands follow. Every candidate that must
-- be refused is parked, held, refused, rerouted or set aside; at most MAX_REFUSED of them. The answer is whether the
-- claim ended at that bound: then more may be had at once.
function dispatch.dispatch(ground, count, takes)
  if standing.full_queue(ground.queue) then return false end
  local floor = offers.floor(ground)
  local claimed = {ground = ground, floor = floor, takes = takes, left = count, tries = bounds.MAX_REFUSED}
  local offer = offers.offer(floor)
  while offer and claimed.tries > 0 do
    local found = planning.plan(offer.head.record)
    if found.takings then
      give(claimed, offer, found)
    elseif blocks_pool(found) then
      park_pool(claimed, offer, found)
    else
      refuse(claimed, offer.stand, offer.head, found)
    end
    -- Of a queue that runs all that it may no pool has a head that could go: none is looked at. spec: QUEUE-3
    offer = claimed.left > 0 and not standing.full_queue(ground.queue) and offers.offer(floor) or nil
  end
  offers.flush(floor)
  return offer ~= nil
end
