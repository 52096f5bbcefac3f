-- audit_keys: what the audit finds about ordered keys and unique keys. `tell(clause, text, job_id)` takes what is wrong;
-- without an id it is about the job that is looked at.
-- spec: STATE-3, KEY-1, KEY-3, KEY-8, KEY-11, UNIQ-2

local NAMES = {[0] = 'in its line', 'a holder', 'away'}

-- An ordered job stands where its state allows, and in a lane only if it holds its key and that is not paused.
function audit_keys.of_job(job, tell)
  local keyed = keys.of(job.id)
  if not jobs.ordered(job) or jobs.terminal(job) then
    if keyed then tell('KEY-8', 'it is ' .. job.state .. ', and its key knows it yet') end
    return
  end
  if not keyed then return tell('KEY-1', 'its key does not know it') end
  local spot = keys.spot_of(job)
  local parks = keys.parked(job.state, job.wait_key)
  if not keys.fits(keyed.stand, job.state, parks, job.while_parked) or not keys.is_listed(spot, job.id) then
    tell('KEY-1', 'it is ' .. job.state .. ', and as to its key ' .. NAMES[keyed.stand])
  end
  local paused = keys.state(spot).paused
  if job.state == 'ready' and not keyed.aside and (keyed.stand ~= keys.HOLDS or paused) then
    tell(paused and 'KEY-11' or 'KEY-1', 'it stands in a lane, and its key forbids that')
  end
end

local function of_counts(state, holders, line)
  if state.holders ~= holders or state.line ~= line then
    return 'KEY-1', string.format('it counts %d that hold it and %d in line, and there are %d and %d', state.holders,
      state.line, holders, line)
  elseif holders > state.places then
    return 'KEY-1', string.format('%d jobs hold it, and it has %d places', holders, state.places)
  end
end

local function of_first(spot)
  local found = pausing.may_go_on(spot)[1]
  if found then return 'KEY-3', 'job ' .. found.id .. ' is ready and may go on, and stands in its line' end
end

-- The counts of a key are those of its jobs, within its places, and nobody waits for whom there is room.
function audit_keys.of_spot(spot, tell)
  local clause, text = of_counts(keys.state(spot), keys.many(spot))
  if not clause then clause, text = of_first(spot) end
  if not clause then return end
  local queue, name = spot:match('^([^%z]*)%z(.*)$')
  tell(clause, 'key ' .. texts.quoted(name) .. ' of queue ' .. texts.quoted(queue) .. ': ' .. text, '')
end

-- A unique key is that of a job that has not ended, or is taken for a time; then the end of its job is told.
function audit_keys.of_unique(name, tell)
  local row = rows.get('unique', name)
  local job, wrong = unique.holding(jobs.get(row.job_id), name), nil
  if job then
    local state = jobs.terminal(job) and job.state or nil
    wrong = row.state ~= state or not row.until_ms and state ~= nil
  else
    wrong = row.state == nil
  end
  if not wrong then return end
  local task, found = name:match('^([^%z]*)%z(.*)$')
  tell('UNIQ-2', 'the unique key ' .. texts.quoted(found) .. ' of task ' .. task .. ' does not agree with it', row.job_id)
end
