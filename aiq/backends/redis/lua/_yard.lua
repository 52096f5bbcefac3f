-- yard: the ready jobs of one queue, as a claim looks at them. As `rules.books.Yard`.
--
-- A yard is a map with its `queue` and `lease`, which is what the claim does with a job that it is given.
-- spec: chapter 12

local BANDS = {0, 1, 2, 3}

function yard.new(queue, lease)
  return {queue = queue, lease = lease}
end

-- What a claim knows of an open pool before it is its turn: {rank, position, pool}, the most urgent of some bands in which
-- an open line has a job, and the least position of the heads of all of them; nil where there is none.
local function front_of(queue, pool, bands)
  local rank, least
  for _, band in ipairs(bands) do
    local spot = lanes.next_spot(queue, pool, band)
    local position = spot and lanes.first_position(spot)
    if position then
      rank, least = rank or band, math.min(least or position, position)
    end
  end
  return rank and {rank = rank, position = least, pool = pool} or nil
end

-- That of one pool.
function yard.front(place, pool)
  return front_of(place.queue, pool, BANDS)
end

-- Those of the pools with jobs in lanes that are not parked. There may be thousands, of which a claim opens few.
function yard.fronts(place)
  local queue, found, bands = place.queue, {}, {}
  for _, band in ipairs(BANDS) do
    if zsets.any('busy_pools:' .. queue .. ':' .. band) then bands[#bands + 1] = band end
  end
  if lanes.pool(queue, fairness.PLAIN).wake_at_ms == 0 then found[1] = yard.front(place, fairness.PLAIN) end
  for _, name in ipairs(zsets.read('ZRANGE', 'open_pools:' .. queue, 0, -1)) do
    found[#found + 1] = front_of(queue, name, bands)
  end
  return found
end

-- A pool whose turn it may be.
function yard.pool(place, pool)
  return lanes.pool(place.queue, pool)
end

-- Write a pool; to park it is to set its `wake_at_ms` and `parked_by`.
function yard.put_pool(_, pool)
  lanes.put_pool(pool)
end

-- The bands of a pool with jobs in lanes, most urgent first.
function yard.bands(place, pool)
  return lanes.bands(place.queue, pool)
end

-- The next open line of a band, after {service, digest} if that is said; nil where there is none.
function yard.line(place, pool, band, after)
  return lanes.least(place.queue, pool, band, after)
end

-- Write a line; to park it is as with a pool.
function yard.put_line(place, line)
  lanes.put_line(place.queue, line)
end

-- The first job of a line, or nil.
function yard.head(place, line)
  local id = lanes.first(lanes.spot(place.queue, line.pool, line.band, line.tenant))
  return id and jobs.get(id)
end

-- The queue's credits, by band.
function yard.queue_credits(place)
  return purses.of(place.queue)
end

function yard.put_queue_credits(place, credits)
  purses.put(place.queue, credits)
end

-- Lease a job to the claim.
function yard.give(place, job)
  place.lease(job)
end

-- Hold a ready job (T21).
function yard.hold(_, job, reason, by, need)
  holding.keep(job, rows.with(job, {held = reason, held_by = by}), need)
end

-- End a ready job (T25). No failure is counted: it did not run. spec: BUDGET-14, HOLD-5
function yard.refuse(_, job, error_)
  jobs.put_errors(job.id, failures.appended(job, error_, step.now_ms))
  ending.end_job('T25', job, rows.with(job, {state = 'dead', cause = error_.cause}))
end

-- Let a ready job take another route (T19).
function yard.reroute(_, job, route)
  sweeps.reroute(job, route)
end

-- Take a ready job out of its lane, until an instant or until its limit has room. spec: LIMIT-16
function yard.set_aside(_, job, limit, part, wake_at_ms)
  gates.set_aside(job, fairness.pool(job), limit, part, wake_at_ms)
end
