-- dump_jobs: what a job has, as records that any storage can take in. See aiq/model/moving.py.
-- spec: MOVE-1, MOVE-7

-- Where an ordered job stands at its key; one that has ended is away, with the turn that it began with.
local function turn_of(job)
  local keyed = keys.of(job.id)
  if keyed then return {turn = keyed.turn, stand = keyed.stand} end
  return jobs.ordered(job) and {turn = job.n, stand = keys.AWAY} or nil
end

local function grave_of(job)
  local death = graves.death(job.id)
  return death and {
    fingerprint = death.fingerprint, died_at_ms = death.died_at_ms, tokens = death.tokens or 0,
    usd_micros = death.usd_micros or 0, sample = death.sample,
  }
end

local function rising_of(job)
  local following = graves.following(job.id)
  return following and {
    redrive_id = following.redrive_id, fingerprint = following.fingerprint, tokens = following.tokens or 0,
    usd_micros = following.usd_micros or 0,
  }
end

-- A job; the place is that of its record, as `jobs.tell` gives it.
function dump_jobs.whole(job)
  local branch, hold = job.branch or {}, job.state == 'held' and holding.hold_of(job.id) or {}
  return 'job', {
    number = job.n, root = branch.root, depth = branch.depth, signal = job.awaits, held_at = hold.number,
    need = hold.need, since_ms = events.since_ms(job), patience_end_ms = patience.of(job.id), turn = turn_of(job),
    grave = grave_of(job), rising = rising_of(job),
  }, jobs.tell(job.id), jobs.content_size(job.id)
end

-- The keys of a job's waits, in their order. Waits are steps: there are at most MAX_STEPS.
local function wait_keys(job)
  return order.names(rows.all('waits:' .. job.id))
end

-- Its waits.
function dump_jobs.waits(job, tell)
  return walks.of_list(function() return wait_keys(job) end, function(wait_key)
    local wait = rows.with(setmetatable(rows.get('waits:' .. job.id, wait_key), nil), {key = wait_key})
    tell('wait', {job_id = job.id, wait = wait})
  end)
end

-- The edges into it. Of those that are gone nobody needs to know any more.
function dump_jobs.edges(job, tell)
  local keys_ = wait_keys(job)
  local function next_key(behind)
    local number = (tonumber(behind) or 0) + 1
    if keys_[number] then return digits(number), keys_[number] end
  end
  return walks.of_owners(next_key, function(wait_key)
    return walks.of_order(key('edges_in', fan_in.place(job.id, wait_key)), function(upstream, score)
      if not jobs.get(upstream) then return end
      tell('edge', {
        upstream = upstream, dependent = job.id, key = wait_key, ended = math.abs(score), succeeded = score > 0,
      })
    end)
  end)
end

-- Its steps.
function dump_jobs.steps(job, tell)
  return function(place, page)
    if not job.remembers then return nil end
    for _, name in ipairs(steps.keys(job.id, place, page.rows)) do
      local size, told = steps.size(job.id, name), steps.tell(job.id, name)
      local value = told.value
      told.value = nil
      tell('step', {job_id = job.id, step = told}, value, size)
      if walks.is_full(page) then return name end
    end
  end
end

-- What its last settlement was answered.
function dump_jobs.answer(job)
  local fence, lease_id, id, state, late, step_key = unpack(job.settled)
  return 'answer', {
    job_id = job.id, fence = fence, lease_id = lease_id, id = id, state = state, late = late, step = step_key,
  }
end

-- What was sent to it, in the order in which that was.
function dump_jobs.signals(job, tell)
  return walks.of_order(key('signal_order', job.id), function(id)
    local one, payload = signals.get(job.id, id), signals.payload(job.id, id)
    tell('signal', {
      job_id = job.id, id = id, name = one.name, bound = one.bound or false, kept = one.kept or false,
      over_ms = one.over_ms,
    }, step.hand(payload), #payload)
  end)
end

-- How many items are read in one command: each may be long.
local ITEMS = 16

-- Its items.
function dump_jobs.items(job, tell)
  return function(place, page)
    if job.chunks == 0 then return nil end
    repeat
      local from = place == '' and '-' or '(' .. place
      local entries = call('XRANGE', key('stream', job.id), from, '+', 'COUNT', math.min(ITEMS, page.rows))
      for _, entry in ipairs(entries) do
        local kind, fence, at_ms, step_key, seq = unpack(cmsgpack.unpack(entry[2][2]))
        local chunk = {
          number = tonumber(entry[1]:match('^%d+')), kind = kind, fence = fence, at_ms = at_ms,
          step = step_key or nil,
        }
        tell('item', {job_id = job.id, chunk = chunk, seq = seq or nil}, step.hand(entry[2][4]), #entry[2][4])
        place = entry[1]
        if walks.is_full(page) then return place end
      end
    until #entries == 0
  end
end

-- The ranges of its data.
function dump_jobs.ranges(job, tell)
  return walks.of_list(
    function() return job.chunks > 0 and items.of(job.id).ranges or {} end,
    function(range)
      tell('range', {
        job_id = job.id, first = range.first, last = range.last, fence = range.fence, step = range.step,
        void = range.void or false,
      })
    end
  )
end
