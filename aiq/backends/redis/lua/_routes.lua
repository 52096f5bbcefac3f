-- routes: which of its routes a job takes, and what else a run leaves to the next one.
--
-- As aiq/rules/routes.py. Routes are counted from 0, as in records; an outcome is a map with `kind`, the name of its
-- class in Python, and its fields.
-- spec: ROUTE-1 to ROUTE-5

-- How soon a job looks for another route again that has found none free.
local LEAST_PATIENCE_MS = 1000

-- Whether a route is closed: a bit of a number, which may have more bits than the library for bits knows.
local function closed(closed_routes, place)
  return math.floor(closed_routes / 2 ^ place) % 2 == 1
end

-- The open routes of a job: those after the one it stands on, then from the first one on, itself the last.
function routes.open_routes(record, closed_routes)
  local found, count = {}, #record.routes
  for step_ = 1, count do
    local place = (record.route + step_) % count
    if not closed(closed_routes, place) then found[#found + 1] = place end
  end
  return found
end

-- The next open route after the one that a job stands on, beginning anew after the last; nil without one.
function routes.next_route(record, closed_routes)
  return routes.open_routes(record, closed_routes)[1]
end

-- The next open route whose pool is not parked, for a job whose own pool is; nil where there is none.
--
-- `parked` says of the job, as it would stand on a route, whether its pool there is parked. spec: ROUTE-5
function routes.freer_route(record, parked)
  if not parked(record) then return nil end
  for _, route in ipairs(routes.open_routes(record, record.closed_routes)) do
    if route ~= record.route and not parked(rows.with(record, {route = route})) then return route end
  end
  return nil
end

-- How long a job waits for its route that has waited before. spec: ROUTE-5
function routes.patience_anew_ms(record)
  return math.max(record.routes[record.route + 1].patience_ms or 0, LEAST_PATIENCE_MS)
end

-- The next open route behind the one that a job stands on: degrading never leads back. spec: HOLD-6
function routes.next_open(record)
  for place = record.route + 1, #record.routes - 1 do
    if not closed(record.closed_routes, place) then return place end
  end
  return nil
end

local GOES_ON = {Suspended = true, Waiting = true, Sleeping = true, Held = true}

-- What a settlement leaves on a record, as a map of its fields: route, closed_routes, resumes, deferred_at_ms (`none`
-- where there is none, for `rows.with`). A failure takes the next route, a rate limit stays, a spent quota closes the
-- route. A run that was asked to stop is the last one, and leaves nothing.
function routes.course(outcome, record, now_ms)
  local found = {
    route = record.route,
    closed_routes = record.closed_routes,
    resumes = false,
    deferred_at_ms = none,
  }
  if record.cancel_requested_at_ms then return found end
  local kind = outcome.kind
  if GOES_ON[kind] then
    found.resumes = true
  elseif kind == 'Retried' then
    found.route = routes.next_route(record, record.closed_routes) or record.route
  elseif kind == 'Deferred' and outcome.close_route then
    if not closed(record.closed_routes, record.route) then
      found.closed_routes = record.closed_routes + 2 ^ record.route
    end
    found.route = routes.next_route(record, found.closed_routes) or record.route
  elseif kind == 'Deferred' then
    found.deferred_at_ms = record.deferred_at_ms or now_ms
  end
  return found
end
