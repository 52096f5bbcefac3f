-- whereabouts: where ready jobs stand in their lanes, and what stands before them, for those who ask.

local PLAIN = ''

-- How many jobs of a line go before a job; no more than a page of them is counted.
function whereabouts.before(spot, job)
  if spot.pool == PLAIN then return shelves.count(spot.lane, lanes.score(job), bounds.MAX_PAGE) end
  return zsets.read('ZCOUNT', spot.lane, '-inf', '(' .. digits(lanes.score(job)))
end

-- How many lines of the same pool and band, with jobs in lanes, have less service than a line.
function whereabouts.less_served(spot)
  return zsets.read('ZCOUNT', spot.busy, '-inf', '(' .. digits(lanes.line(spot.queue, spot).service))
end

-- Whether a job stands in its place in a lane.
function whereabouts.stands(spot, job)
  if spot.pool == PLAIN then return shelves.stands(spot.lane, job.id, lanes.score(job)) end
  return zsets.score(spot.lane, job.id) == lanes.score(job)
end

-- How many jobs stand ready in more urgent bands, in lanes or behind gates; of a lane no more than a page is counted.
function whereabouts.urgent(queue, band)
  local found = 0
  for other = 0, band - 1 do
    local plain_lane = lanes.plain_spot(queue, other).lane
    found = found + counters.crowded(queue, other) + shelves.count(plain_lane, nil, bounds.MAX_PAGE)
  end
  return found
end
