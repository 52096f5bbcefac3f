-- unique: which job has a key, and what becomes of another that asks for it.
--
-- A key belongs to a task, so that whoever is answered with the job that has it finds a result of the type that is
-- awaited. A row of `unique` says who has one: job_id, how (by the word of which enqueue), last_id and last_digest of
-- the last enqueue that it heeded, until_ms where it is taken for a time, and state, how its job has ended.
-- `unique_windows` has the keys that are taken for a time, by its end.
-- The functions for one key take its name, as `unique.key_of` makes it; of a spec, `payload` is the place of its bytes.
-- spec: UNIQ-1 to UNIQ-13, DEAD-23

-- What a job that is replaced keeps, because it says where it stands.
local PLACE = {'queue', 'tenant', 'key', 'limits', 'routes'}
-- What it takes over, besides its payload and deadline.
local CONTENT = {'band', 'lease_ms', 'timeout_ms', 'max_attempts', 'max_stalls', 'max_deferral_ms', 'estimate'}

-- The name of a key's row. No task and no key holds the character between them.
function unique.key_of(spec)
  return spec.task .. '\0' .. (spec.unique or '')
end

-- The job that has a key, from what is stored under the id that the key's row names; nil if it is gone, even if
-- another job has its id by now. spec: UNIQ-13
function unique.holding(record, name)
  return record and unique.key_of(record) == name and record or nil
end

-- The row of a key that a new job takes. spec: UNIQ-1, UNIQ-5
function unique.first_holder(spec, now_ms)
  return {
    job_id = spec.id, how = spec.on_unique, last_id = spec.id, last_digest = spec.digest,
    until_ms = spec.unique_for_ms and now_ms + spec.unique_for_ms,
  }
end

-- The row of a key whose job a new one has changed. spec: UNIQ-8
function unique.heeded(row, spec)
  return rows.with(row, {how = spec.on_unique, last_id = spec.id, last_digest = spec.digest})
end

-- A job that is not stored yet has no state.
local function started(there)
  local job = there.job
  return job and job.state and (job.fence > 0 or states.TERMINAL[job.state]) or false
end

-- Whether a key that has a row can be taken. spec: UNIQ-5, UNIQ-9
local function is_free(there, spec, now_ms)
  local row = there.row
  if row.until_ms then return now_ms >= row.until_ms end
  local to_be_replaced = row.how ~= 'keep' or spec.on_unique ~= 'keep'
  return started(there) and to_be_replaced and row.last_id ~= spec.id
end

-- Refuse what would have to stand elsewhere: the job of its key keeps its place. spec: UNIQ-6
local function check_place(job, spec)
  for _, name in ipairs(PLACE) do
    if not rows.same(job[name], spec[name]) then
      step.refuse('Conflict', {
        message = 'Job ' .. texts.quoted(job.id) .. ' has the unique key ' .. texts.quoted(spec.unique)
          .. ', and stands with another ' .. name
          .. ' than this one would. Enqueue it alike, or cancel the other first.',
        reason = 'unique',
      })
    end
  end
end

local function taken_by(there, spec)
  local row = there.row
  if row.last_id == spec.id then
    if row.last_digest ~= spec.digest then
      step.refuse('Conflict', {
        message = 'Job ' .. texts.quoted(spec.id) .. ' has replaced the content of ' .. texts.quoted(row.job_id)
          .. ' before, with another one.',
        reason = 'content',
      })
    end
    return {job_id = row.job_id, changes = false}
  end
  if spec.on_unique == 'keep' or not there.job or started(there) then
    return {job_id = row.job_id, changes = false}
  end
  check_place(there.job, spec)
  return {job_id = row.job_id, changes = true}
end

-- The jobs of a batch that are not to be stored, by id, as if each saw those before it: {job_id, changes}, the job that
-- has the key, and whether it is changed. `stored` are ids, `held` are {row, job} by the name of their key.
-- spec: UNIQ-1, UNIQ-3, UNIQ-4, UNIQ-6, UNIQ-8
function unique.answered(batch, stored, held, now_ms)
  local found = {}
  for _, spec in ipairs(batch) do
    if not spec.unique or stored[spec.id] then
      stored[spec.id] = true
    else
      local name = unique.key_of(spec)
      local there = held[name]
      if not there or is_free(there, spec, now_ms) then
        held[name] = {row = unique.first_holder(spec, now_ms), job = spec}
        stored[spec.id] = true
      elseif not found[spec.id] then
        local taken = taken_by(there, spec)
        found[spec.id] = taken
        if taken.changes then held[name] = {row = unique.heeded(there.row, spec), job = there.job} end
      end
    end
  end
  return found
end

-- A job that has not started, changed by a new one with its key. It keeps its id, its place and what it draws from.
-- With a debounce it waits anew until nobody has asked for so long; a held one stays held. spec: UNIQ-6, UNIQ-7
function unique.replaced(record, spec, now_ms)
  local changes = {deadline_ms = deadlines.effective_ms(spec, nil, now_ms) or none}
  for _, name in ipairs(CONTENT) do
    local value = spec[name]
    if value == nil then changes[name] = none else changes[name] = value end
  end
  local after = rows.with(record, changes)
  if spec.on_unique == 'debounce' and record.state ~= 'held' then
    return editing.due_at(after, now_ms + spec.delay_ms, now_ms)
  end
  return after
end

-- The row of a key that a redriven job takes again; nil if another has it. spec: DEAD-23
function unique.retaken(there, record, now_ms)
  local own = there and there.row.job_id == record.id
  if own and (there.row.until_ms or 0) > now_ms then return rows.with(there.row, {state = none}) end
  if there and not own and not is_free(there, record, now_ms) then return nil end
  return {job_id = record.id, how = 'keep', last_id = record.id, last_digest = record.digest}
end

-- Write who has a key, in the place of whoever had it.
function unique.put(name, row)
  local before = rows.get('unique', name)
  if row.until_ms then
    zsets.put('unique_windows', name, row.until_ms)
  elseif before and before.until_ms then
    zsets.drop('unique_windows', name)
  end
  rows.put('unique', name, row)
end

-- Let nobody have a key.
function unique.drop(name)
  local before = rows.get('unique', name)
  if before and before.until_ms then zsets.drop('unique_windows', name) end
  rows.drop('unique', name)
end

local function held_of(names)
  rows.fetch('unique', names)
  local ids, held = {}, {}
  for _, name in ipairs(names) do
    local row = rows.get('unique', name)
    if row then ids[#ids + 1] = row.job_id end
  end
  jobs.fetch(ids)
  for _, name in ipairs(names) do
    local row = rows.get('unique', name)
    if row then held[name] = {row = row, job = unique.holding(jobs.get(row.job_id), name)} end
  end
  return held
end

local function stored_of(batch)
  local ids, stored = {}, {}
  for place, spec in ipairs(batch) do ids[place] = spec.id end
  jobs.fetch(ids)
  rows.fetch('tombstones', ids)
  for _, id in ipairs(ids) do
    if jobs.get(id) or rows.get('tombstones', id) then stored[id] = true end
  end
  return stored
end

-- The jobs of a batch whose keys others have. See `unique.answered`.
function unique.look_up(batch)
  local names = {}
  for _, spec in ipairs(batch) do
    if spec.unique then names[#names + 1] = unique.key_of(spec) end
  end
  if #names == 0 then return {} end
  return unique.answered(batch, stored_of(batch), held_of(names), step.now_ms)
end

-- Let a new job have its key. spec: UNIQ-1
function unique.take_key(spec)
  unique.put(unique.key_of(spec), unique.first_holder(spec, step.now_ms))
end

-- Answer with the job that has the key, once it is changed as it is to be. spec: UNIQ-1, UNIQ-6
function unique.answer(spec, taken)
  local name = unique.key_of(spec)
  local row = rows.get('unique', name)
  local job = unique.holding(jobs.get(taken.job_id), name)
  if taken.changes and job and row.last_id ~= spec.id then
    unique.put(name, unique.heeded(row, spec))
    jobs.put_payload(job.id, step.blob(spec.payload))
    editing.edit_job(job, unique.replaced(job, spec, step.now_ms))
    job = jobs.get(taken.job_id)
  end
  local state = job and job.state or row.state
  return {job_id = taken.job_id, state = state, existed = true, by = 'unique', gone = job == nil}
end

-- Read the keys that some jobs have, in one command.
function unique.fetch(records)
  local names = {}
  for _, job in ipairs(records) do
    if job.unique then names[#names + 1] = unique.key_of(job) end
  end
  if #names > 0 then rows.fetch('unique', names) end
end

-- Let others have the key of a job that has ended, unless it is taken for a time. spec: UNIQ-2, UNIQ-5
function unique.free_key(job)
  local name = unique.key_of(job)
  local row = rows.get('unique', name)
  if not row or row.job_id ~= job.id then return end
  if row.until_ms then
    rows.put('unique', name, rows.with(row, {state = job.state}))
  else
    unique.drop(name)
  end
end

-- Let a job that is redriven have its key again; say whether it could. spec: DEAD-23
function unique.retake_key(record)
  local name = unique.key_of(record)
  local row = rows.get('unique', name)
  local again = unique.retaken(row and {row = row, job = jobs.get(row.job_id)}, record, step.now_ms)
  if again then unique.put(name, again) end
  return again ~= nil
end

-- Forget at most `limit` keys whose time is over, the oldest first, and say whether more are. spec: UNIQ-10
function unique.forget_keys(limit)
  local over = zsets.until_('unique_windows', step.now_ms, limit + 1)
  for place = 1, math.min(limit, #over) do unique.drop(over[place]) end
  return #over > limit
end
