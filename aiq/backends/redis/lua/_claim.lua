-- claim: leasing the next jobs to a worker.
--
-- The row of `claims` by worker is its last claim that gave something; `claims_by_instant` has the workers by when that
-- was.

-- The payload bytes that one claim may still give. Once a job does not fit, none does. spec: CLAIM-11
local function payload_room()
  local left, given = bounds.MAX_BATCH_BYTES, false
  return function(bytes)
    left = left - bytes
    local fits = left >= 0 or not given
    given = true
    return fits
  end
end

-- Start a run (T3). spec: CLAIM-1, CLAIM-8, LEASE-3
local function lease(job, request)
  return transition.move('T3', job, rows.with(job, {
    state = 'running',
    fence = job.fence + 1,
    lease_id = request.lease_id,
    owner = request.worker,
    expires_at_ms = step.now_ms + job.lease_ms,
    started_at_ms = job.started_at_ms or step.now_ms,
  }))
end

-- The one line of a queue's plain pool, where nothing decides but the place: nothing else has jobs in lanes, and no band
-- has credit. Nil where that is not so; the second answer says whether the queue has any job in a lane.
local function only_line(queue)
  if zsets.any('open_pools:' .. queue) then return nil, true end
  local bands = lanes.plain_bands(queue)
  if #bands ~= 1 or rows.get('credits', queue) or rows.get('pools', lanes.pool_spot(queue, '')) then return nil, #bands > 0 end
  return lanes.spot(queue, '', bands[1], ''), true
end

-- Whether a job of the plain pool takes of nothing that could be used up.
local function takes_nothing(job)
  return #jobs.taken_limits(job) == 0 and #job.budgets == 0
end

-- Give the first jobs of a line that are plain, as many as stand there one behind the other; the answer is how many.
local function begin_plain(spot, count, given)
  local ids, first = lanes.ahead(spot)
  local begun = plain.begin(ids, first, math.min(#ids, first + count - 1), given.request, given.room)
  for place = first, first + begun - 1 do given.leased[#given.leased + 1] = ids[place] end
  lanes.take_first(spot, begun)
  return begun
end

-- The same of those that are plain, or else of those that budgets bind and that are plain otherwise; and whether the claim is over.
local function begin_some(spot, count, given)
  local begun = begin_plain(spot, count, given)
  if begun > 0 then return begun, false end
  plain.count()
  return admitting.begin(spot, count, given)
end

-- Give what a queue offers as long as that is plain jobs in one line: the order of chapter 12 is then their own. The
-- answer is how many, and whether the claim is over.
local function give_plain(queue, count, given)
  local spot, any = only_line(queue)
  local before = #given.leased
  if not any then return 0, true end
  while spot and #given.leased - before < count do
    local id = lanes.first(spot)
    if not id then return #given.leased - before, true end
    local begun, over = begin_some(spot, count - #given.leased + before, given)
    if over then return #given.leased - before, true end
    if begun == 0 then
      if not takes_nothing(jobs.get(id)) then break end
      if not given.takes(jobs.get(id)) then return #given.leased - before, true end
      given.give(jobs.get(id))
    end
  end
  return #given.leased - before, #given.leased - before >= count
end

-- The same of a queue in which all that could go stands in one line of another pool, as jobs of one kind do that limits bind.
local function give_bound(queue, count, given)
  local spot, before = admitting.only_line(queue), #given.leased
  while spot and #given.leased - before < count do
    lanes.read_ahead(spot)
    local begun, over = admitting.begin(spot, count - #given.leased + before, given)
    if over then return #given.leased - before, true end
    if begun == 0 then break end
  end
  if spot then lanes.look_again(spot) end
  return #given.leased - before, #given.leased - before >= count
end

-- Lease the jobs of a queue that are to be given out now, in the order of chapter 12. spec: CLAIM-7, LIVE-1
local function dispatch_(want, given)
  local count = math.min(want.count, bounds.MAX_BATCH - #given.leased)
  if count <= 0 or rows.get('paused', want.queue) then return false end
  lanes.look_ahead(count)
  local settings = rows.get('queues', want.queue)
  if not (settings and (settings.concurrency or settings.rate or settings.max_ready)) then
    local number, over = give_plain(want.queue, count, given)
    plain.count()
    if over then return false end
    count = count - number
    number, over = give_bound(want.queue, count, given)
    if over then return false end
    count = count - number
  end
  return dispatch.dispatch(yard.new(want.queue, given.give), count, given.takes)
end

-- What a claim gives, and to whom. `takes` is asked once about each job that is about to be given, or `room` about the
-- bytes of its payload.
local function giving(request)
  local given = {request = request, leased = {}, room = payload_room()}
  function given.takes(job)
    return given.room(jobs.payload_size(job.id))
  end
  function given.give(job)
    lease(job, request)
    given.leased[#given.leased + 1] = job.id
  end
  return given
end

local function last_claim(worker)
  local last = rows.get('claims', worker)
  return last and step.now_ms < last.at_ms + bounds.CLAIM_KEPT_MS and last or nil
end

-- Answer a claim that was given before: its jobs that still run under it.
local function again(request, last)
  if request.number ~= last.number or request.lease_id ~= last.lease_id then return {} end
  local found = {}
  jobs.fetch(last.job_ids)
  for _, id in ipairs(last.job_ids) do
    local job = jobs.get(id)
    if job and job.lease_id == last.lease_id then found[#found + 1] = id end
  end
  return found
end

-- Keep a claim for the worker that does not hear the answer, and drop those that nobody asks for any more.
local function keep(request, leased)
  rows.put('claims', request.worker, {
    number = request.number, lease_id = request.lease_id, at_ms = step.now_ms, job_ids = leased,
  })
  zsets.put('claims_by_instant', request.worker, step.now_ms)
  local over_ms = step.now_ms - bounds.CLAIM_KEPT_MS
  for _, worker in ipairs(zsets.until_('claims_by_instant', over_ms, bounds.MAX_SWEEP)) do
    rows.drop('claims', worker)
    zsets.drop('claims_by_instant', worker)
  end
end

local function queues_of(wants)
  local found, seen = {}, {}
  for _, want in ipairs(wants) do
    if not seen[want.queue] then
      seen[want.queue] = true
      found[#found + 1] = want.queue
    end
  end
  return found
end

-- Lease up to `count` ready jobs of each wanted queue, after the sweeps that may make more jobs ready. The answer is
-- the ids of the jobs, and whether more may be had at once: the claim has opened or looked at as much as one may.
-- spec: CLAIM-2, CLAIM-3, CLAIM-4, CLAIM-5, CLAIM-9, CLAIM-10, CLAIM-11, POOL-3
function claim.take(request)
  local last = last_claim(request.worker)
  if last and request.number <= last.number then return again(request, last), false end
  sweeps.glance()
  sweeps.end_overdue(bounds.MAX_SWEEP)
  sweeps.promote(bounds.MAX_SWEEP)
  sweeps.revoke(bounds.MAX_SWEEP)
  step.call_up()
  local queues = queues_of(request.wants)
  local more = sweeps.wake_aside(queues)
  sweeps.lose_patience(queues, bounds.MAX_SWEEP)
  local given = giving(request)
  for _, want in ipairs(request.wants) do
    more = dispatch_(want, given) or more
  end
  if #given.leased > 0 then keep(request, given.leased) end
  return given.leased, more
end
