-- plain: what most jobs do, from text to text: they are stored (T1), begin their first run (T3), which renews its lease
-- (T4), and succeed (T5).
--
-- A plain job uses nothing but its turn: `records` says of each record that is written whether it is one. For such a job
-- most of what `transition`, `jobs` and `settle` look at is nothing, and to read, copy and write its record as a table takes
-- longer than all that is left. So here its head is taken apart, and put together anew; what stands behind is not looked
-- into. Whatever is not as it is with most is left to them: each function says whether it has done what was asked.
-- spec: ENQ-1, CLAIM-1, CLAIM-8, LEASE-1, LEASE-3, LEASE-10, LEASE-12, STATE-6

local OTHER, PLAIN, IS_FRESH = 0, 1, 2
-- Where the ids stand of jobs that are alike, and the place of how they are kept.
local IDS, BRIEFS, LIMITED = 6, 7, 8
local READY, RUNNING = fields.STATE_NUMBERS.ready, fields.STATE_NUMBERS.running
local SUCCEEDED = fields.STATE_NUMBERS.succeeded
-- A head has no room for more, nor for instants that are so far away.
local MOST_EVENTS, MOST_HISTORY, FAR_MS = 60000, 180, 2 ^ 47

local byte, sub, pack = string.byte, string.sub, struct.pack
local head, named_at, MOVED, EVENT_BYTES = records.head, records.named, records.MOVED, records.EVENT_BYTES

-- What is known of records (see `rows.open`), and whether a head has room for this instant.
local seen, texts, changed, usual

local MOST_INLINE = contents.INLINE_BYTES

-- Those that have made the same move, of one queue and task: they are counted together.
local alike
-- Those whose payloads stand in a table of their own, and are going to be told.
local apart = {}
-- Those whose first run this step has begun here: nothing else has happened to them.
local started = {}
local calls

local COUNT = {
  T1 = function(same)
    counters.count(same.queue, 'ready', same.number)
    counters.unstart(same.queue, same.number)
    events.tally_new(same)
  end,
  T3 = function(same)
    counters.count(same.queue, 'ready', -same.number)
    counters.count(same.queue, 'running', same.number)
    counters.unstart(same.queue, -same.number)
    events.tally_starts(same)
  end,
  T5 = function(same)
    counters.count(same.queue, 'running', -same.number)
    counters.count(same.queue, 'succeeded', same.number)
    events.tally_successes(same)
  end,
}

-- Count what plain jobs have done, before anybody else counts.
function plain.count()
  if alike then COUNT[alike.row](alike) end
  alike = nil
end

local function note(row, queue, task, lasted_ms)
  if not alike or alike.task ~= task or alike.queue ~= queue or alike.row ~= row then
    plain.count()
    alike = {row = row, queue = queue, task = task, number = 0, lasted_ms = 0, most_ms = 0}
  end
  alike.number = alike.number + 1
  alike.lasted_ms = alike.lasted_ms + lasted_ms
  if lasted_ms > alike.most_ms then alike.most_ms = lasted_ms end
end

-- Whether a head has room for this instant: 0 is there the sign of none.
local function is_usual_time()
  return step.now_ms > 0 and step.now_ms < FAR_MS
end

-- The record of a plain job as it is stored, if nobody has looked into it in this step.
local function text_of(id)
  if not texts then
    usual, seen, texts, changed = is_usual_time(), rows.open('jobs')
  end
  local text = texts[id]
  return text and usual and seen[id] == nil and byte(text) ~= OTHER and text or nil
end

local function put(id, text)
  texts[id], changed[id] = text, true
end

-- Whether a queue takes and gives jobs with no regard to how many stand in it, and the oldest first.
local function is_open(queue)
  local settings = rows.get('queues', queue)
  return not settings or not settings.max_ready and not settings.lifo
end

-- Whether a head has room for the numbers and positions of so many more jobs.
local function has_room(number)
  local over = records.OVER
  return counters.get('jobs') + number < over.n and counters.get('positions') + number < over.position
end

-- Whether all that a batch says is new, and nothing but that is to be looked at.
local function are_new(batch)
  local all, known = {}, {}
  for _, alike in ipairs(batch) do
    if not is_open(alike[1]) then return false end
    for _, id in ipairs(alike[IDS]) do all[#all + 1] = id end
    if alike[BRIEFS] then briefs.learn(alike[IDS], step.blob(alike[BRIEFS])) end
  end
  jobs.fetch(all)
  rows.fetch('tombstones', all)
  for _, id in ipairs(all) do
    if known[id] or rows.has('jobs', id) or rows.has('tombstones', id) then return false end
    known[id] = true
  end
  return has_room(#all)
end

-- What of digest and payload stands behind a record: a payload that is not small stands in a table of its own.
local function kept_behind(id, behind, digest_bytes, payload_bytes)
  if payload_bytes <= contents.INLINE_BYTES then return behind end
  rows.put_bytes('payloads', id, behind:sub(digest_bytes + 1))
  return behind:sub(1, digest_bytes)
end

local function store(alike)
  local queue, task, band, digest_bytes, place, ids = unpack(alike)
  local named, spot = step.blob(place), lanes.plain_spot(queue, band)
  for number, id in ipairs(ids) do
    local n, position, behind = jobs.next_number(), counters.raise('positions'), step.blob(place + number)
    local event, payload_bytes = events.plain('T1', 0, READY, n, 1, 0), #behind - digest_bytes
    behind = kept_behind(id, behind, digest_bytes, payload_bytes)
    local head = records.fresh(position, event, payload_bytes, n, step.now_ms, digest_bytes)
    rows.put_text('jobs', id, head .. named .. behind)
    jobs.put_number(n, id)
    lanes.put(spot, id, position)
    step.wake_job(id)
    note('T1', queue, task, 0)
  end
  step.wake('queue:' .. queue)
end

-- The same of jobs that limits or budgets bind, of which is `found` what they have in common (`entering`).
local function store_limited(alike, found)
  local queue, task, _, digest_bytes, place, ids = unpack(alike)
  local positions = {}
  for number, id in ipairs(ids) do
    local n, behind = jobs.next_number(), step.blob(place + number)
    positions[number] = counters.raise('positions')
    local event, payload_bytes = events.plain('T1', 0, READY, n, 1, 0), #behind - digest_bytes
    local head = entering.head(found, id, n, positions[number], event, payload_bytes, digest_bytes)
    rows.put_text('jobs', id, head .. kept_behind(id, behind, digest_bytes, payload_bytes))
    jobs.put_number(n, id)
    step.wake_job(id)
    note('T1', queue, task, 0)
  end
  entering.stand(found, ids, positions)
  step.wake('queue:' .. queue)
end

-- Store a batch of jobs that are plain, if nothing is to be answered but that all of them are ready. They come by those
-- that are alike: a list of queue, task, band, how many bytes the digest of each has, the place of what is named of them
-- and their map, as in a record, behind which comes what stands behind that of each; their ids; and the place of what
-- `briefs.learn` takes of these, or nil; and whether limits or budgets bind them. What is named of these has `shapes.MASK` in the
-- place of their ids.
function plain.enqueue(batch)
  if not is_usual_time() or not are_new(batch) then return false end
  local found = {}
  for place, alike in ipairs(batch) do
    found[place] = alike[LIMITED] and entering.look(alike)
    if alike[LIMITED] and not found[place] then return false end
  end
  for place = 1, #batch do
    if found[place] then entering.check(found[place]) end
  end
  for place, alike in ipairs(batch) do
    if found[place] then store_limited(alike, found[place]) else store(alike) end
  end
  plain.count()
  return true
end

-- Such jobs as any others, behind those of a list.
function plain.tell_apart(alike, batch)
  local _, _, _, digest_bytes, first, ids = unpack(alike)
  local named = step.blob(first)
  local band, lease_ms, task, queue, at = records.named(named, 1)
  for number, id in ipairs(ids) do
    local place = first + number
    local spec = {id = id, task = task, queue = queue, band = band, lease_ms = lease_ms, payload = place}
    local map = table.concat(shapes.pieces(named:sub(at), shapes.MASK), id)
    for name, value in pairs(cmsgpack.unpack(map)) do spec[fields.NAMES[name]] = value end
    if digest_bytes > 0 then spec.digest = briefs.whole_digest(step.blob(place)) end
    step.cut_blob(place, digest_bytes + 1)
    batch[#batch + 1] = spec
  end
end

-- Whether any run has an open call.
function plain.has_calls()
  if calls == nil then calls = call('EXISTS', key('open_calls')) == 1 end
  return calls
end

-- Whether a run may have calls that stand in line, or a schedule waits for its end.
function plain.is_waited_for(id)
  if counters.get('waiting_calls') > 0 then return true end
  return counters.get('waiting_schedules') > 0 and rows.get('awaited', id) ~= nil
end

-- The same, or whether it may have calls that its end has to close.
local function is_awaited(id, fence)
  return plain.is_waited_for(id) or plain.has_calls() and #books.open_calls(id, fence) > 0
end

-- Write that a run has succeeded, and what all of these leave: `lasted_ms` is how long it ran.
local function succeed(id, text, result, n, queue, task, lasted_ms)
  put(id, text)
  if #result > MOST_INLINE then rows.put_bytes('results', id, result) end
  zsets.put('leases', id, false)
  zsets.put('ended:succeeded', ended.member_of(n), step.now_ms)
  step.wake_job(id)
  note('T5', queue, task, lasted_ms)
end

-- The lease of the run that was last found out to succeed, and the mould of those that have the same.
local last_lease, mould

-- Let a run succeed that is of no mould. From the second of a lease on there is one.
local function settle_one(id, text, fence, lease_id, settlement, result, small)
  local _, state, lane, number, run, position, started, _, expires, payload, old, n, created, digest, lease, owner, history, _, at =
    head(text)
  if state ~= RUNNING or run ~= fence or lease ~= lease_id or step.now_ms >= expires then return false end
  if started == 0 or old > 0 or number > MOST_EVENTS or #history > MOST_HISTORY then return false end
  local settled = records.settled(fence, lease_id, settlement, 'succeeded')
  if not settled then return false end
  local _, _, task, queue = named_at(text, at)
  local event = events.plain('T5', RUNNING, SUCCEEDED, n, number + 1, fence)
  local lasted_ms = math.max(0, step.now_ms - started)
  if lease_id == last_lease and #history > 0 then
    mould = moulds.of(text, lease_id, fence, number, started, #lease + #owner + 3, #history)
  end
  last_lease = lease_id
  succeed(id, pack(
    MOVED, byte(text), SUCCEEDED, lane, number + 1, run, position, started, step.now_ms, 0, payload, #result + 1, n, created, digest,
    0, '', 0, '', #history + EVENT_BYTES, history, event, #settled, settled, sub(text, at), small
  ), result, n, queue, task, lasted_ms)
  return true
end

local function settle_text(id, text, fence, lease_id, settlement, place)
  local result = step.blob(place)
  local small = #result <= MOST_INLINE and result or ''
  if mould and mould.lease_id == lease_id and mould.fence == fence then
    local after, n, queue, task = moulds.settle(mould, text, settlement, #result, small)
    if after then
      succeed(id, after, result, n, queue, task, mould.lasted_ms)
      return true
    end
  end
  return settle_one(id, text, fence, lease_id, settlement, result, small)
end

-- Let a run succeed that still owns its job, whose result stands at a place of the call.
function plain.settle(id, fence, lease_id, settlement, place)
  local text = text_of(id)
  if not text or is_awaited(id, fence) then return false end
  return settle_text(id, text, fence, lease_id, settlement, place)
end

-- The same of a job that limits and budgets keep from being plain; what it has reserved is for `releasing` to close.
function plain.settle_limited(id, fence, lease_id, settlement, place)
  return settle_text(id, plain.limited(id), fence, lease_id, settlement, place)
end

-- Whether the record of a job is that of a plain one, which nobody has looked into in this step.
function plain.is(id)
  return text_of(id) ~= nil
end

-- The same of all of some.
function plain.are(ids)
  if #ids == 0 then return true end
  if not text_of(ids[1]) then return false end
  for place = 2, #ids do
    local id = ids[place]
    local text = texts[id]
    if not text or seen[id] ~= nil or byte(text) == OTHER then return false end
  end
  return true
end

-- The record of a job that is not plain, as it is stored, if nobody has looked into it in this step; nil of others.
function plain.limited(id)
  if not texts then usual, seen, texts, changed = is_usual_time(), rows.open('jobs') end
  local text = texts[id]
  return text and usual and seen[id] == nil and byte(text) == OTHER and text or nil
end

-- Write that a first run has begun, and what all of these leave: `waited_ms` is how long the job was ready.
function plain.start(id, text, expires, payload_bytes, queue, task, waited_ms)
  put(id, text)
  zsets.put('leases', id, expires)
  step.wake_job(id)
  note('T3', queue, task, math.max(0, waited_ms))
  if payload_bytes > MOST_INLINE then apart[#apart + 1] = id end
  started[id] = true
  return true
end

-- Begin the first run of a plain job whose head is whole, as that of one that was changed since it was stored.
local function begin_whole(id, text, lease_id, worker, takes)
  local _, state, lane, number, run, position, started, _, _, payload, result, n, created, digest, _, _, history, _, at = head(text)
  if state ~= READY or run > 0 or started > 0 or #history > MOST_HISTORY or number > MOST_EVENTS then return false end
  if not takes(payload - 1) then return false end
  local now_ms, _, lease_ms, task, queue = step.now_ms, named_at(text, at)
  local event, expires = events.plain('T3', READY, RUNNING, n, number + 1, 1), now_ms + lease_ms
  return plain.start(id, pack(
    MOVED, PLAIN, RUNNING, lane, number + 1, 1, position, now_ms, 0, expires, payload, result, n, created, digest,
    #lease_id, lease_id, #worker, worker, #history + EVENT_BYTES, history, event, 0, '', sub(text, at), ''
  ), expires, payload - 1, queue, task, now_ms - created)
end

-- Begin the first run of a job, if it is plain and there is room for its payload; whether that has been done. `owner` is what
-- `moulds.owner` says of lease and worker.
local function begin_one(id, lease_id, worker, owner, takes)
  local text = text_of(id)
  if not text then return false end
  if byte(text) ~= IS_FRESH then return begin_whole(id, text, lease_id, worker, takes) end
  local after, expires, payload_bytes, queue, task, waited_ms = moulds.begin(text, owner, takes)
  return after ~= nil and plain.start(id, after, expires, payload_bytes, queue, task, waited_ms)
end

-- Begin the first runs of the first jobs of a line, `ids` from a place on to another, as long as they are plain and there
-- is room for their payloads; the answer is how many. Whoever asks takes them out of their lane.
function plain.begin(ids, first, last, request, takes)
  local lease_id, worker = request.lease_id, request.worker
  if #lease_id > records.LONG or #worker > records.LONG then return 0 end
  local owner = moulds.owner(lease_id, worker)
  for place = first, last do
    if not begin_one(ids[place], lease_id, worker, owner, takes) then return place - first end
  end
  return math.max(0, last - first + 1)
end

-- Restart the lease of a run that still owns its job, to the job's own length or to the one that is asked for, which may be
-- shorter if `shrink` says so. The answer is its length and the job's queue, or nil.
function plain.renew(held, asked_ms, shrink)
  local id = held.job_id
  local text = text_of(id)
  local state, run, expires, lease, at = records.lease(text)
  if state ~= RUNNING or run ~= held.fence or lease ~= held.lease_id or step.now_ms >= expires then return nil end
  local _, own_ms, _, queue = named_at(text, at)
  local length_ms = asked_ms and (shrink and asked_ms or math.max(asked_ms, own_ms)) or own_ms
  expires = step.now_ms + length_ms
  put(id, records.with_expiry(text, expires))
  zsets.put('leases', id, expires)
  return length_ms, queue
end

-- Read payloads that are about to be told, in one command.
function plain.fetch()
  if #apart > 0 then rows.fetch_bytes('payloads', apart) end
  apart = {}
end

-- How many bytes payload and result of a plain job have together.
function plain.content_size(id)
  local text = text_of(id)
  if not text then return nil end
  local _, _, payload, result = records.sizes(text)
  return math.max(payload, 0) + math.max(result, 0)
end

-- What a plain job has that lists ask for, or `whole`: nothing of it is kept, so that it is told as it is stored.
function plain.seen(id, whole)
  local text = text_of(id)
  if not text then return nil end
  if whole then return jobs.unpack(id, text) end
  local _, state, _, _, _, _, _, finished, _, _, _, n, created, _, _, _, _, _, at = head(text)
  local _, _, task, queue = named_at(text, at)
  return {
    id = id, n = n, state = fields.STATES[state], task = task, queue = queue, created_at_ms = created,
    finished_at_ms = finished > 0 and finished or nil,
  }
end

-- Put the pieces of a job into their places of the answer, as `jobs.tell` has them, if nothing but a first run has happened to
-- it, which has left no errors and no progress; whether that has been done.
function plain.tell(id, place)
  local text = text_of(id) or started[id] and plain.limited(id)
  if not text then return false end
  local state, run, payload, result = records.sizes(text)
  if run > 1 or state ~= READY and state ~= RUNNING and state ~= SUCCEEDED then return false end
  local pieces = step.pieces()
  pieces[place], pieces[place + 5] = text, id
  if payload > MOST_INLINE then pieces[place + 1] = rows.bytes('payloads', id) or false end
  if result > MOST_INLINE then pieces[place + 2] = rows.bytes('results', id) or false end
  return true
end
