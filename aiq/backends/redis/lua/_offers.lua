-- offers: what the pools of a queue offer to a claim: the head of one band each, with a share for less urgent bands.
--
-- As aiq/rules/offers.py. A floor is the open pools of a queue during one claim, on its `ground`, which is a yard; a
-- stand is one of these pools, with the heads of its bands as far as they were looked at (false where there is none); a
-- head is {line, record}, an offer {stand, head, rank, favoured, passing}: a head that stands in the band `rank`, its
-- own or the one that its credit displaces.
-- spec: BAND-1 to BAND-3

local FLOOR, WHOLE = fairness.FLOOR, fairness.WHOLE

local function any(credits)
  return credits[1] ~= 0 or credits[2] ~= 0 or credits[3] ~= 0 or credits[4] ~= 0
end

local function equal(one, other)
  return one[1] == other[1] and one[2] == other[2] and one[3] == other[3] and one[4] == other[4]
end

-- Change the row of a stand's pool; `flush` writes it.
function offers.change(stand, fields)
  stand.pool = rows.with(stand.pool, fields)
  stand.changed = true
end

-- Look at a band of a stand anew: its jobs have moved.
function offers.forget(stand, band)
  stand.heads[band] = nil
  stand.offer = nil
end

local function write(floor, stand)
  for band, service in pairs(stand.served) do
    offers.change(stand, {served = fairness.with_credit(stand.pool.served, band, service)})
  end
  stand.served = {}
  if not stand.changed then return end
  yard.put_pool(floor.ground, stand.pool)
  stand.changed = false
end

-- Look at the pools anew.
function offers.read(floor)
  floor.stands = {}
  for place, pool in ipairs(yard.pools(floor.ground)) do
    local bands = yard.bands(floor.ground, pool.name)
    floor.stands[place] = {pool = pool, bands = bands, changed = false, heads = {}, served = {}}
  end
end

-- The open pools of a queue.
function offers.floor(ground)
  local floor = {ground = ground, stands = {}, ranks = {}}
  offers.read(floor)
  return floor
end

-- Write what has changed of the pools' rows.
function offers.flush(floor)
  for _, stand in ipairs(floor.stands) do write(floor, stand) end
end

-- Write a pool that is parked, and leave it out from now on.
function offers.close(floor, stand)
  write(floor, stand)
  for place, one in ipairs(floor.stands) do
    if one == stand then return table.remove(floor.stands, place) end
  end
end

-- A band with no job in its lanes any more loses its credit.
local function leave_out(floor, stand)
  local bands, still = yard.bands(floor.ground, stand.pool.name), {}
  for _, band in ipairs(bands) do still[band] = true end
  for _, band in ipairs(stand.bands) do
    if not still[band] and stand.pool.credits[band + 1] ~= 0 then
      offers.change(stand, {credits = fairness.with_credit(stand.pool.credits, band, 0)})
    end
  end
  stand.bands = bands
end

local function head_of(floor, stand, band)
  if stand.heads[band] == nil then
    local line = yard.line(floor.ground, stand.pool.name, band)
    local record = line and yard.head(floor.ground, line)
    stand.heads[band] = record and {line = line, record = record} or false
    if not line then leave_out(floor, stand) end
  end
  return stand.heads[band]
end

-- The credit for which a job goes before a more urgent band.
--
-- That waits for all that must be admitted first, so it is for the calls in line before the job too. spec: BAND-2
local function price(record, displaced)
  return WHOLE * (booking.quote(record) + booking.ahead(record, displaced))
end

-- The first band whose credit lets it go before a more urgent one, or nil.
local function earned(floor, stand, first)
  if not any(stand.pool.credits) then return nil end
  for _, band in ipairs(stand.bands) do
    local credit = stand.pool.credits[band + 1]
    local head = band > first and credit ~= 0 and head_of(floor, stand, band)
    if head and credit >= price(head.record, first) then return band end
  end
  return nil
end

local function offer_of(floor, stand)
  if stand.offer then return stand.offer end
  for _, first in ipairs(stand.bands) do
    if head_of(floor, stand, first) then
      local head = head_of(floor, stand, earned(floor, stand, first) or first)
      stand.offer = head and {stand = stand, head = head, rank = first} or nil
      return stand.offer
    end
  end
  return nil
end

local function ranks_of(found)
  local ranks, seen = {}, {}
  for _, offer in ipairs(found) do
    if not seen[offer.rank] then ranks[#ranks + 1] = offer.rank end
    seen[offer.rank] = true
  end
  table.sort(ranks)
  return ranks
end

local function favoured_of(floor)
  if #floor.ranks < 2 then return nil end
  local purse = yard.queue_credits(floor.ground)
  for place = 2, #floor.ranks do
    local band = floor.ranks[place]
    if purse[band + 1] >= WHOLE then return band end
  end
  return nil
end

-- The head that is next: of the most urgent band, save for the floor, and of the lowest position; nil where there is
-- none. spec: BAND-1
function offers.offer(floor)
  local found = {}
  for _, stand in ipairs(floor.stands) do found[#found + 1] = offer_of(floor, stand) end
  floor.ranks = ranks_of(found)
  if #found < 2 then return found[1] end
  local favoured = favoured_of(floor)
  local rank, best = favoured or floor.ranks[1], nil
  for _, offer in ipairs(found) do
    local sooner = not best or offer.head.record.position < best.head.record.position
    if offer.rank == rank and sooner then best = offer end
  end
  return rows.with(best, {favoured = favoured ~= nil})
end

local function pay_pool(floor, offer, cost)
  local stand, band = offer.stand, offer.head.record.band
  local purse = stand.pool.credits
  local own = purse[band + 1]
  if own ~= 0 then
    -- All of it, and whether it displaced anybody or not: a floor is for a band that gets nothing else. What was saved
    -- while a dear head waited would let others behind it go before urgent jobs, soon after its turn.
    local paid = offer.passing and math.min(own, WHOLE * cost) or own
    purse = fairness.with_credit(purse, band, own - paid)
  end
  local others = #stand.bands > 1 and stand.bands or {}
  for _, other in ipairs(others) do
    local head = other > band and head_of(floor, stand, other)
    if head then purse = fairness.credited(purse, other, FLOOR * cost, price(head.record, band)) end
  end
  if not equal(purse, stand.pool.credits) then offers.change(stand, {credits = purse}) end
end

-- Count the credits of a job that is given: what less urgent bands gain, and what its own band pays.
--
-- It is called before the job leaves its lane. spec: BAND-2, BAND-3
function offers.pay(floor, offer, cost)
  pay_pool(floor, offer, cost)
  local others = {}
  for _, band in ipairs(floor.ranks) do
    if band > offer.rank then others[#others + 1] = band end
  end
  if #others == 0 and not offer.favoured then return end
  local purse = yard.queue_credits(floor.ground)
  if offer.favoured and purse[offer.rank + 1] >= WHOLE then
    -- Of several jobs that pass a favoured head the first has paid.
    purse = fairness.with_credit(purse, offer.rank, purse[offer.rank + 1] - WHOLE)
  end
  for _, band in ipairs(others) do purse = fairness.credited(purse, band, FLOOR, WHOLE) end
  yard.put_queue_credits(floor.ground, purse)
end
