-- lanes: the ready jobs of each queue: their lanes, lines and pools.
--
-- A job is in its lane, or behind a gate (`gates`). The lanes of a line are one sorted set, `lane:QUEUE:BAND:TENANT:POOL`,
-- with the job's position as score, less 2^52 for those that come back, which go first (BAND-4). Those of the plain pool,
-- in which nearly all jobs wait, stand on shelves (`shelves`). Lines with jobs in
-- lanes are in `busy:QUEUE:BAND:POOL`, and those of them that are not parked in `open:QUEUE:BAND:POOL`: score is the
-- service, member the digest and the tenant, so that they are in the order of FAIR-1. Pools with jobs in the lanes of a
-- band are in `busy_pools:QUEUE:BAND`, and those that are not parked in `open_pools:QUEUE`.
--
-- Rows: `pools` by `pool_spot`, `lines` by `spot.whole`, of those that say more than a new one; `credits` by queue.
-- Of the plain pool nothing is stored but its lanes, and its row while that says something: it has one line a band,
-- which has no service and is never parked. So a plain job costs one change of one sorted set.
-- spec: chapter 12

local PLAIN = ''
local AHEAD = 2 ^ 52
local BANDS = {0, 1, 2, 3}
-- How many jobs of a lane are read at first, unless somebody is going to take more of them.
local FEW = 4
-- The same once somebody has met one whose row is gone: there are often more of them.
local MANY = 64

local SEPARATOR = '\0'
local spots, plain_spots, windows, filled = {}, {}, {}, {}
local most = FEW

-- A line, by names: what it is called in rows and sorted sets.
function lanes.spot(queue, pool, band, tenant)
  local whole = table.concat({queue, pool, band, tenant}, SEPARATOR)
  local found = spots[whole]
  if not found then
    local place = queue .. ':' .. band .. ':'
    local hashed = tenant ~= '' and redis.sha1hex(tenant) or ''
    found = {
      queue = queue, pool = pool, band = band, tenant = tenant, whole = whole, id = whole:sub(#queue + 2),
      lane = 'lane:' .. place .. hashed .. ':' .. pool,
      busy = 'busy:' .. place .. pool, open = 'open:' .. place .. pool,
      pools = 'busy_pools:' .. queue .. ':' .. band,
    }
    spots[whole] = found
  end
  return found
end

-- A line by its name.
function lanes.spot_named(whole)
  local queue, pool, band, tenant = whole:match('^([^%z]*)%z([^%z]*)%z(%d)%z(.*)$')
  return lanes.spot(queue, pool, tonumber(band), tenant)
end

-- The name of a pool.
function lanes.pool_spot(queue, name)
  return queue .. SEPARATOR .. name
end

-- The queue and the pool of such a name.
function lanes.split_pool(spot)
  return spot:match('^([^%z]*)%z(.*)$')
end

-- The line of a band of the plain pool.
function lanes.plain_spot(queue, band)
  local of_queue = plain_spots[queue] or {}
  plain_spots[queue] = of_queue
  local found = of_queue[band] or lanes.spot(queue, PLAIN, band, '')
  of_queue[band] = found
  return found
end

-- The line of a ready job.
function lanes.line_of(job, pool)
  if pool == PLAIN then return lanes.plain_spot(job.queue, job.band) end
  return lanes.spot(job.queue, pool, job.band, job.tenant)
end

-- The place in its line of a ready job. spec: BAND-4
function lanes.score(job)
  return job.lane == 0 and job.position - AHEAD or job.position
end

-- The position of a job from its place in a line.
function lanes.position(score)
  return score < -AHEAD / 2 and score + AHEAD or score
end

-- A pool's row, or a new one.
function lanes.pool(queue, name)
  return rows.get('pools', lanes.pool_spot(queue, name), defaults.Pool)
    or setmetatable({queue = queue, name = name}, defaults.Pool)
end

-- A line's row, or a new one.
function lanes.line(_, spot)
  return rows.get('lines', spot.whole, defaults.Line) or setmetatable({
    pool = spot.pool, band = spot.band, tenant = spot.tenant,
    digest = spot.pool == PLAIN and '' or fairness.digest(spot.tenant),
  }, defaults.Line)
end

-- How many of the first jobs of a lane are going to be looked at, at most: they are read in one go.
function lanes.look_ahead(count)
  most = math.max(FEW, count + 1)
end

-- The first jobs of a line, at most so many.
local function read(spot, count)
  if spot.pool == PLAIN then return shelves.first(spot.lane, count) end
  return zsets.read('ZRANGE', spot.lane, 0, count - 1)
end

local function fetched(spot, count)
  local ids = read(spot, count)
  local window = {ids = ids, at = 1, count = count, gone = {}}
  windows[spot.lane] = window
  jobs.fetch(ids)
  return window
end

local function refill(spot, count)
  local window = fetched(spot, count)
  local ids = window.ids
  if plain.are(ids) then return window end
  local records = {}
  for _, id in ipairs(ids) do
    if not plain.is(id) then records[#records + 1] = jobs.get(id) end
  end
  keys.fetch(records)
  return window
end

-- The first job of a line, or nil. spec: BAND-4
function lanes.first(spot)
  local window = windows[spot.lane] or refill(spot, spot.pool == PLAIN and most or math.min(FEW, most))
  while true do
    local id = window.ids[window.at]
    if id and not window.gone[id] then
      if rows.has('jobs', id) then return id end
      -- Its row was removed by hand: nobody is to stand behind its place for ever. spec: LIVE-1
      if spot.pool == PLAIN then shelves.lose(spot.lane, id) end
      most = math.max(most, MANY)
      lanes.exit(spot, id)
    elseif id then
      window.at = window.at + 1
    elseif #window.ids < window.count then
      return nil
    else
      window = refill(spot, math.min(most, window.count * 4))
    end
  end
end

local function filled_(spot)
  return filled[spot.lane] or lanes.first(spot) ~= nil
end

-- Put a job into the lane of a line that is of the plain pool, or has jobs in lanes.
function lanes.put(spot, id, score)
  if spot.pool == PLAIN then shelves.put(spot.lane, id, score) else zsets.put(spot.lane, id, score) end
  windows[spot.lane], filled[spot.lane] = nil, true
end

-- Take a job out of the lane of a line that keeps no credit. In the plain pool it is found by its score; one without a
-- score is out already.
function lanes.take(spot, id, score)
  if spot.pool ~= PLAIN then
    zsets.drop(spot.lane, id)
  elseif score then
    shelves.drop(spot.lane, id, score)
  end
  local window = windows[spot.lane]
  if window then window.gone[id] = true end
  filled[spot.lane] = nil
end

-- The jobs of a line that `lanes.first` has read, and the place of the first of them that is still there.
function lanes.ahead(spot)
  local window = windows[spot.lane]
  return window.ids, window.at
end

-- Read as many of the first jobs of a line as are going to be looked at, whose records nobody has looked into.
function lanes.read_ahead(spot)
  fetched(spot, most)
end

-- Look at the first jobs of a line anew.
function lanes.look_again(spot)
  windows[spot.lane] = nil
end

-- The bands of the plain pool of a queue in whose lanes anything stands, most urgent first.
function lanes.plain_bands(queue)
  local found = {}
  for _, band in ipairs(BANDS) do
    if shelves.any(lanes.plain_spot(queue, band).lane) then found[#found + 1] = band end
  end
  return found
end

-- Whether a pool has jobs in the lanes of a band.
local function busy(queue, pool, band)
  local spot = lanes.spot(queue, pool, band, '')
  if pool == PLAIN then return filled_(spot) end
  return zsets.any(spot.busy)
end

-- The bands of a pool with jobs in lanes, most urgent first.
function lanes.bands(queue, pool)
  local found = {}
  for _, band in ipairs(BANDS) do
    if busy(queue, pool, band) then found[#found + 1] = band end
  end
  return found
end

-- The least service of the lines of a band with jobs in lanes, parked ones too. spec: FAIR-3
local function least_service(spot)
  return zsets.least(spot.busy)
end

-- The same of a band of a pool by names, or nil.
function lanes.least_service(queue, pool, band)
  if pool == PLAIN then return busy(queue, pool, band) and 0 or nil end
  return least_service(lanes.spot(queue, pool, band, ''))
end

local function turn(line)
  return line.digest .. ':' .. line.tenant
end

-- The spot of the open line with jobs in lanes that is next after `after`, {service, digest}; nil where there is none.
function lanes.next_spot(queue, pool, band, after)
  local spot = lanes.spot(queue, pool, band, '')
  if pool == PLAIN then return not after and filled_(spot) and spot or nil end
  local rank = 0
  if after then
    -- It stands behind all that begin like the one it is after, for as long as it takes to ask for its rank.
    local probe = after[2] .. ';'
    zsets.settle(spot.open)
    call('ZADD', key(spot.open), digits(after[1]), probe)
    rank = call('ZRANK', key(spot.open), probe)
    call('ZREM', key(spot.open), probe)
  end
  local member = zsets.read('ZRANGE', spot.open, rank, rank)[1]
  return member and lanes.spot(queue, pool, band, member:sub(member:find(':', 1, true) + 1)) -- see `turn`
end

-- That line. spec: FAIR-1
function lanes.least(queue, pool, band, after)
  local spot = lanes.next_spot(queue, pool, band, after)
  return spot and lanes.line(queue, spot)
end

-- The position of the first job of a line, or nil. Of a line that nobody has looked into the job is not read.
function lanes.first_position(spot)
  if spot.pool == PLAIN or windows[spot.lane] then
    local id = lanes.first(spot)
    return id and jobs.get(id).position
  end
  local score = zsets.read('ZRANGE', spot.lane, 0, 0, 'WITHSCORES')[2]
  return score and lanes.position(tonumber(score))
end

-- Put a pool among those that are open, if it has jobs to offer.
local function sort_pool(pool, bands)
  if pool.name == PLAIN then return end
  local name = 'open_pools:' .. pool.queue
  if #bands > 0 and pool.wake_at_ms == 0 then zsets.put(name, pool.name, 0) else zsets.drop(name, pool.name) end
end

-- Note when a pool changed, for as long as it has no jobs in lanes.
local function touch_pool(pool, bands)
  if #bands > 0 then
    zsets.drop('idle_pools', lanes.pool_spot(pool.queue, pool.name))
  elseif pool.name ~= PLAIN then
    zsets.put('idle_pools', lanes.pool_spot(pool.queue, pool.name), step.now_ms)
  end
end

-- The same of a line.
local function touch_line(spot)
  if filled_(spot) then
    zsets.drop('idle_lines', spot.whole)
  elseif spot.pool ~= PLAIN then
    zsets.put('idle_lines', spot.whole, step.now_ms)
  end
end

local function says_nothing(pool)
  for _, name in ipairs({'credits', 'served'}) do
    for _, number in ipairs(pool[name]) do
      if number ~= 0 then return false end
    end
  end
  return pool.wake_at_ms == 0 and pool.parked_by == '' and pool.head == '' and pool.bypass == 0
end

-- A pool's row, in which a band without jobs in lanes has no credit. spec: BAND-2
local function without_idle_credit(pool, bands)
  local credits = {0, 0, 0, 0}
  for _, band in ipairs(bands) do credits[band + 1] = pool.credits[band + 1] end
  return rows.with(pool, {credits = credits})
end

-- Write a pool's row, and park or open it.
function lanes.put_pool(pool)
  local bands = lanes.bands(pool.queue, pool.name)
  pool = without_idle_credit(pool, bands)
  if says_nothing(pool) then
    rows.drop('pools', lanes.pool_spot(pool.queue, pool.name))
  else
    rows.put('pools', lanes.pool_spot(pool.queue, pool.name), pool)
  end
  parked.follow_pool(pool)
  patience.watch(pool)
  sort_pool(pool, bands)
  touch_pool(pool, bands)
end

-- Put a line into the orders, if it has jobs to offer.
local function sort(spot, line)
  if not filled_(spot) then return end
  zsets.put(spot.busy, turn(line), line.service)
  if line.wake_at_ms == 0 then
    zsets.put(spot.open, turn(line), line.service)
  else
    zsets.drop(spot.open, turn(line))
  end
end

local function store_line(spot, line)
  if not rows.get('lines', spot.whole) then
    counters.add('line_counts', lanes.pool_spot(spot.queue, spot.pool), 1)
  end
  rows.put('lines', spot.whole, line)
end

-- Write a line's row, and park or open it.
function lanes.put_line(queue, line)
  local spot = lanes.spot(queue, line.pool, line.band, line.tenant)
  if spot.pool == PLAIN then return end
  store_line(spot, line)
  parked.follow_line(spot, line)
  sort(spot, line)
  touch_line(spot)
end

-- Keep nothing of a line without jobs in lanes. spec: FAIR-6
function lanes.forget_line(spot)
  if rows.get('lines', spot.whole) then
    parked.follow_line(spot, rows.with(lanes.line(spot.queue, spot), {wake_at_ms = 0}))
    rows.drop('lines', spot.whole)
    counters.add('line_counts', lanes.pool_spot(spot.queue, spot.pool), -1)
  end
  zsets.drop('idle_lines', spot.whole)
end

-- Keep nothing of a pool without jobs in lanes, of which no line is left. spec: FAIR-6
function lanes.forget_pool(queue, name)
  parked.follow_pool(rows.with(lanes.pool(queue, name), {wake_at_ms = 0}))
  rows.drop('pools', lanes.pool_spot(queue, name))
  zsets.drop('idle_pools', lanes.pool_spot(queue, name))
end

-- Whether anything is kept of a line of a pool.
function lanes.has_lines(queue, name)
  return rows.get('line_counts', lanes.pool_spot(queue, name)) ~= nil
end

-- Open a parked pool.
function lanes.wake_pool(queue, name)
  lanes.put_pool(rows.with(lanes.pool(queue, name), {wake_at_ms = 0, parked_by = ''}))
end

-- Open a parked line.
function lanes.wake_line(spot)
  lanes.put_line(spot.queue, rows.with(lanes.line(spot.queue, spot), {wake_at_ms = 0, parked_by = ''}))
end

-- Whether a pool stands aside at an instant.
function lanes.is_parked(queue, name, now_ms)
  return lanes.pool(queue, name).wake_at_ms > now_ms
end

-- The most urgent job wakes its pool: what a less urgent head waits for may be far more than it needs. In the plain
-- pool all need the same. spec: POOL-1
local function wake_for(spot, pool)
  if pool.wake_at_ms == 0 then return end
  for _, band in ipairs(lanes.bands(spot.queue, spot.pool)) do
    if band <= spot.band then return end
  end
  lanes.wake_pool(spot.queue, spot.pool)
end

-- Put a job into its lane; a line that gets its first one is lifted. spec: FAIR-3
function lanes.enter(spot, id, score)
  if spot.pool == PLAIN then
    lanes.put(spot, id, score)
    return
  end
  local pool, line = lanes.pool(spot.queue, spot.pool), lanes.line(spot.queue, spot)
  wake_for(spot, pool)
  counters.crowd(spot.queue, spot.band, 1)
  if filled_(spot) then
    lanes.put(spot, id, score)
    return
  end
  line = rows.with(line, {service = fairness.lifted(line.service, least_service(spot), pool.served[spot.band + 1])})
  lanes.put(spot, id, score)
  store_line(spot, line)
  sort(spot, line)
  touch_line(spot)
  zsets.put(spot.pools, spot.pool, 0)
  local bands = lanes.bands(spot.queue, spot.pool)
  sort_pool(lanes.pool(spot.queue, spot.pool), bands)
  touch_pool(pool, bands)
end

-- A queue in whose band nothing stands has no credit there. spec: BAND-3
local function lose_queue_credit(spot)
  local credits = rows.get('credits', spot.queue)
  if not credits or credits[spot.band + 1] == 0 or zsets.any(spot.pools) or busy(spot.queue, PLAIN, spot.band) then return end
  purses.put(spot.queue, fairness.with_credit(credits, spot.band, 0))
end

-- Jobs have left the lane of a line of another pool than the plain one. spec: BAND-2, BAND-3
local function follow_exit(spot, count)
  counters.crowd(spot.queue, spot.band, -count)
  if filled_(spot) then return end
  local member = turn(lanes.line(spot.queue, spot))
  zsets.drop(spot.busy, member)
  zsets.drop(spot.open, member)
  touch_line(spot)
  if zsets.any(spot.busy) then return end
  zsets.drop(spot.pools, spot.pool)
  lanes.put_pool(lanes.pool(spot.queue, spot.pool))
  lose_queue_credit(spot)
end

-- Take a job out of its lane. When it was the last of its band, that loses its credit. spec: BAND-2, BAND-3
function lanes.exit(spot, id, score)
  lanes.take(spot, id, score)
  if spot.pool == PLAIN then
    local pool = rows.get('pools', lanes.pool_spot(spot.queue, PLAIN), defaults.Pool)
    if pool and pool.credits[spot.band + 1] ~= 0 and not filled_(spot) then lanes.put_pool(pool) end
    lose_queue_credit(spot)
    return
  end
  follow_exit(spot, 1)
end

-- Take so many of the first of these out of their lane.
function lanes.take_first(spot, count)
  if count == 0 then return end
  local window = windows[spot.lane]
  local first, last = window.at, window.at + count - 1
  window.at, filled[spot.lane] = last + 1, nil
  if spot.pool == PLAIN then
    shelves.drop_read(spot.lane, first, last)
  else
    for place = first, last do zsets.drop(spot.lane, window.ids[place]) end
    follow_exit(spot, count)
  end
end

-- Let a job that is ready stand in its lane.
function lanes.join(job, pool)
  lanes.enter(lanes.line_of(job, pool), job.id, lanes.score(job))
end

-- Let a job that is no longer ready, or of another place, leave its lane, or its place behind a gate.
function lanes.leave(job, pool)
  lanes.end_patience(job)
  lanes.step_out(job, pool)
end

-- Let a job that stays ready leave its lane, or its place behind a gate.
function lanes.step_out(job, pool)
  local spot = lanes.line_of(job, pool)
  -- Only what a limit bounds by its key has to do with gates.
  if job.key == nil or #jobs.taken_limits(job) == 0 then
    lanes.exit(spot, job.id, lanes.score(job))
    return
  end
  local gate = gates.of(job)
  if gate then gates.leave(gate, job) else lanes.exit(spot, job.id, lanes.score(job)) end
  gates.let_follow(spot, job, gate)
end

-- Whether two forms of a ready job have one place.
function lanes.same_place(before, job)
  local same = before.queue == job.queue and before.band == job.band and before.tenant == job.tenant
    and before.lane == job.lane and before.position == job.position
  return same and fairness.pool(before) == fairness.pool(job)
end

-- Forget a job's patience, if it has any.
function lanes.end_patience(job)
  if #job.routes > 0 then patience.end_(job) end
end
