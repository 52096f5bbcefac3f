-- purge: letting jobs go whose time is over, the oldest first.
-- spec: KEEP-1, KEEP-2, KEEP-9, GONE-4, GONE-5, GONE-8

-- How many jobs that ended in each state are kept more than the bound.
local function excesses()
  local spec, found = retention.spec(), {}
  for _, state in ipairs(retention.ENDED) do
    local keep = retention.of_state(spec, state)
    found[state] = keep.count and retention.excess(keep, counters.ended(state)) or 0
  end
  return found
end

-- How many of a state are over by its period.
local function over_by_period(state)
  local since_ms = retention.since_ms(retention.of_state(retention.spec(), state), step.now_ms)
  return since_ms < 0 and 0 or zsets.read('ZCOUNT', 'ended:' .. state, '-inf', digits(since_ms))
end

-- Those with an instant of their own that has come, and then those of each state, each from the oldest on.
local function over(limit, more)
  local numbers = zsets.until_('apart', step.now_ms, limit)
  for _, state in ipairs(retention.ENDED) do
    local many = math.min(math.max(over_by_period(state), more[state]), limit - #numbers)
    local found = many > 0 and zsets.first('ended:' .. state, many) or {}
    for _, number in ipairs(found) do numbers[#numbers + 1] = number end
  end
  local ids = {}
  for place, number in ipairs(numbers) do ids[place] = jobs.id_of(tonumber(number)) end
  return ids, numbers
end

-- One that was put off was looked at under another retention, maybe.
local function has_had_its_time(job, more)
  if retention.is_over(retention.spec(), job.keep_ms, job.state, job.finished_at_ms, step.now_ms) then return true end
  return not job.keep_ms and more[job.state] > 0
end

-- Look at no more than `limit` jobs (and MAX_PURGED) whose time is over, and let those go that nobody needs; say how
-- many went.
function purge.purge(limit)
  limit = math.min(limit, bounds.MAX_PURGED)
  local done, size, room = gone.clear_remains(limit)
  local more, may = excesses(), {}
  local ids, numbers = over(limit - done, more)
  jobs.fetch(ids)
  for place, id in ipairs(ids) do
    local job = jobs.get(id)
    if not job then
      ended.lose(tonumber(numbers[place]))
    elseif has_had_its_time(job, more) and gone.may_go(job) then
      may[#may + 1] = job
    else
      jobs.put(job, rows.with(job, {go_ms = step.now_ms + bounds.PUT_OFF_MS}))
    end
  end
  local _, more_done = gone.all(gone.that_fit(may, bounds.MAX_PURGED_BYTES - size), room)
  return done + more_done
end

-- Whether the next upkeep has a job to look at.
function purge.anything_over()
  return gone.anything_remains() or #over(1, excesses()) > 0
end
