-- audit_waits: what the audit finds about the jobs that wait for others.
-- spec: FLOW-7, FAN-1, FAN-6, STATE-3

-- The edges into a wait: how many there are, at most MAX_DEPENDENCIES, how many of them are flipped and how, and those that
-- are not.
local function edges_of(place)
  local found = {total = 0, succeeded = 0, failed = 0, open = {}, ids = {}}
  local flat = call('ZRANGE', key('edges_in', place), 0, -1, 'WITHSCORES')
  for number = 1, #flat, 2 do
    local id, score = flat[number], tonumber(flat[number + 1])
    found.total, found.ids[#found.ids + 1] = found.total + 1, id
    if score > 0 then found.succeeded = found.succeeded + 1 end
    if score < 0 then found.failed = found.failed + 1 end
    if score == 0 then found.open[#found.open + 1] = id end
  end
  return found
end

local function over(job, wait_key, wait)
  if wait_key ~= fan_in.DEPENDENCIES then return waits.verdict(wait) ~= nil end
  if fan_in.doomed(job, wait) then return not outbox.holds('die', job.id) end
  return waits.pending(wait) == 0
end

-- A job waits for what is not over.
local function of_waiting(job, wait_key, wait, tell)
  if job.state ~= 'waiting' or job.wait_key ~= wait_key then return end
  if job.pending ~= waits.pending(wait) then
    tell('STATE-3', 'it counts ' .. digits(job.pending) .. ' pending, and its wait ' .. waits.pending(wait))
  end
  if over(job, wait_key, wait) then
    tell('FAN-6', 'it waits under ' .. texts.quoted(wait_key) .. ' for what is over')
  end
end

-- Each edge leads from a job that is stored, and knows it.
local function of_edges(job, place, edges, tell)
  jobs.fetch(edges.ids)
  for _, id in ipairs(edges.ids) do
    local upstream = jobs.get(id)
    if not upstream then return tell('FLOW-7', 'an edge leads from ' .. texts.quoted(id) .. ', which is not stored') end
    if not upstream.needed or call('SISMEMBER', key('needed_by', id), place) == 0 then
      tell('FLOW-7', 'job ' .. texts.quoted(id) .. ' does not know that this one needs it')
    end
  end
  local told = true
  for _, id in ipairs(edges.open) do
    if not zsets.score('edges_out:' .. id, place) then tell('FLOW-7', 'the end of ' .. id .. ' will not be told') end
    told = told and (not jobs.terminal(jobs.get(id)) or outbox.holds('flip', id))
  end
  return told
end

local function of_wait(job, wait_key, wait, tell)
  local place = fan_in.place(job.id, wait_key)
  local edges = edges_of(place)
  -- What it waited for may be gone before it.
  if job.state == 'succeeded' then return edges.total end
  local told = of_edges(job, place, edges, tell)
  if wait.total ~= edges.total or wait.succeeded ~= edges.succeeded or wait.failed ~= edges.failed then
    tell('FAN-1', 'the counts of its wait ' .. texts.quoted(wait_key) .. ' are not those of its edges')
  end
  if told == false and not outbox.holds('redrive', job.id, wait_key) then
    tell('FAN-6', 'its wait ' .. texts.quoted(wait_key) .. ' was not told of an end')
  end
  of_waiting(job, wait_key, wait, tell)
  return edges.total
end

-- The waits of a job behind one of its keys ('' for the first, which is no key but that of dependencies): where the next
-- slice goes on, and how many edges were looked at. Waits are steps: a job has at most MAX_STEPS of them.
function audit_waits.of_job(job, after, slice, tell)
  local looked = 0
  for _, wait_key in ipairs(order.names(rows.all('waits:' .. job.id))) do
    local name = ':' .. wait_key
    if order.less(after, name) then
      if looked >= slice then return after, looked end
      looked = looked + math.max(1, of_wait(job, wait_key, fan_in.wait(job.id, wait_key), tell))
      after = name
    end
  end
  return nil, looked
end
