-- offers: what the pools of a queue offer to a claim: the head of one band each, with a share for less urgent bands.
--
-- As aiq/rules/offers.py. A floor is the open pools of a queue during one claim, on its `ground`, which is a yard: its
-- `places` are by rank a heap of fronts, {rank, position, pool}, and its `stands` by name those that were looked at. A
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

local function before(one, other)
  if one.position ~= other.position then return one.position < other.position end
  return one.pool < other.pool
end

-- Put a front into its heap.
local function push(heap, front)
  local at = #heap + 1
  while at > 1 and before(front, heap[math.floor(at / 2)]) do
    heap[at] = heap[math.floor(at / 2)]
    at = math.floor(at / 2)
  end
  heap[at] = front
end

-- Take the first front out of its heap.
local function pop(heap)
  local first, last, at = heap[1], table.remove(heap), 1
  if #heap == 0 then return first end
  while 2 * at <= #heap do
    local child = 2 * at
    if child < #heap and before(heap[child + 1], heap[child]) then child = child + 1 end
    if not before(heap[child], last) then break end
    heap[at], at = heap[child], child
  end
  heap[at] = last
  return first
end

-- Look at the pools anew.
function offers.read(floor)
  floor.stands, floor.places, floor.offered = {}, {{}, {}, {}, {}}, nil
  for _, front in ipairs(yard.fronts(floor.ground)) do push(floor.places[front.rank + 1], front) end
end

-- The open pools of a queue.
function offers.floor(ground)
  local floor = {ground = ground, ranks = {}}
  offers.read(floor)
  return floor
end

-- Write what has changed of the pools' rows.
function offers.flush(floor)
  local names = {}
  for name in pairs(floor.stands) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do write(floor, floor.stands[name]) end
end

-- Write a pool that is parked, and leave it out from now on.
function offers.close(floor, stand)
  write(floor, stand)
  floor.offered = nil
end

local function stand_of(floor, name)
  local found = floor.stands[name]
  if not found then
    local bands = yard.bands(floor.ground, name)
    found = {pool = yard.pool(floor.ground, name), bands = bands, changed = false, heads = {}, served = {}}
    floor.stands[name] = found
  end
  return found
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

local function ranks_of(floor)
  local ranks = {}
  for place, heap in ipairs(floor.places) do
    if #heap > 0 then ranks[#ranks + 1] = place - 1 end
  end
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

-- Let a pool of which something was offered stand where it stands now.
local function let_in(floor, stand)
  if any(stand.pool.credits) then leave_out(floor, stand) end
  local front = yard.front(floor.ground, stand.pool.name)
  if front then push(floor.places[front.rank + 1], front) end
end

-- The first offer of a rank, which is taken out; nil where it turned out to be another pool's turn.
local function first_of(floor, rank)
  local front = pop(floor.places[rank + 1])
  local offer = offer_of(floor, stand_of(floor, front.pool))
  if not offer then return nil end
  local real = {rank = offer.rank, position = offer.head.record.position, pool = front.pool}
  local next_ = floor.places[rank + 1][1]
  if offer.rank == rank and not (next_ and before(next_, real)) then return offer end
  push(floor.places[offer.rank + 1], real)
  return nil
end

-- The head that is next: of the most urgent band, save for the floor, and of the lowest position; nil where there is
-- none. A pool is looked at when none that was not can go before it. spec: BAND-1
function offers.offer(floor)
  if floor.offered then let_in(floor, floor.offered) end
  floor.offered = nil
  while true do
    floor.ranks = ranks_of(floor)
    if #floor.ranks == 0 then return nil end
    local favoured = favoured_of(floor)
    local found = first_of(floor, favoured or floor.ranks[1])
    if found then
      floor.offered = found.stand
      return rows.with(found, {favoured = favoured ~= nil})
    end
  end
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
