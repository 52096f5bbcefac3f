-- step: one atomic step: its instant, what it was handed, what it answers, and whom it wakes.
--
-- ARGV[1] is a map in msgpack: `args`, and `now_ms` where a test turns the clock; ARGV[2] and on are bytes, which no
-- script looks into (`step.blob`). The answer is a list: a map in msgpack, then bytes. Whoever refuses (`step.refuse`)
-- does so before anything is written, and has changed nothing.
--
-- Redis takes nothing back when a script stumbles, over a key of another type or a row that was changed by hand. Rows,
-- counters, the log, the items of streams and the sets of `zsets` and `shelves` are gathered, and written at the end,
-- rows last: what stumbles before has changed none of them. What it may leave behind is what pieces write at once: edges,
-- children and living ones of flows, the order of steps and signals, the outbox, the older numbers of a job's events,
-- indexes of workers, minutes and tombstones, grants. What stumbles while all is written may leave the sets and not the
-- rows.
-- spec: STORE-1, TIME-1

local handed, blobs, told, writers, rooms, calls_up

-- The instant of the step, and whom it wakes: whoever waits for topics, and for jobs by their ids.
step.now_ms, step.topics, step.jobs = 0, {}, {}

local function begin()
  handed = cmsgpack.unpack(ARGV[1])
  blobs, told, writers = {}, {}, {}
  step.topics, step.jobs, rooms, calls_up = {}, {}, {}, false
  step.now_ms = handed.now_ms or step.host_ms()
end

local function written(answer)
  for _, later in ipairs(told) do later() end
  zsets.flush()
  shelves.flush()
  counters.flush()
  -- Streams take no number twice, so what is numbered comes as late as it can.
  for _, write in ipairs(writers) do write() end
  events.flush()
  rows.flush()
  wakeups.tell(step.topics, step.jobs)
  return {cmsgpack.pack({answer = answer}), unpack(blobs)}
end

local function refused(refusal)
  if type(refusal) ~= 'table' or not refusal.refused then error(refusal, 0) end
  return {cmsgpack.pack(refusal)}
end

-- Make a step that may write.
function step.run(work)
  begin()
  local fine, answer = pcall(function()
    retire.require_open()
    return work(handed.args)
  end)
  if not fine then return refused(answer) end
  step.let_go()
  step.call_up()
  return written(answer)
end

-- Make a step that only reads, or that moves the storage: one that has moved away makes it too.
function step.look(work)
  begin()
  local fine, answer = pcall(function()
    retire.require_layout()
    return work(handed.args)
  end)
  return fine and written(answer) or refused(answer)
end

-- The clock of this server, in ms.
function step.host_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The bytes that stand at a place of the call, counted from 1.
function step.blob(place)
  return ARGV[place + 1]
end

-- Let what stands at a place of the call begin later.
function step.cut_blob(place, first)
  ARGV[place + 1] = ARGV[place + 1]:sub(first)
end

-- Pieces of bytes that go with the answer; false is nothing. What is returned is the place of the first, counted from
-- 1. At most 4,096 of them in one answer.
function step.hand(...)
  local first = #blobs + 1
  step.fill(first, {...})
  return first
end

-- Places for so many pieces, which are to be filled; the first of them is what is returned.
function step.room_for(count)
  local first = #blobs + 1
  for place = first, first + count - 1 do blobs[place] = false end
  return first
end

-- Put pieces into the places that were taken for them.
function step.fill(first, pieces)
  for place = 1, #pieces do blobs[first + place - 1] = pieces[place] end
end

-- The pieces of the answer, by their places.
function step.pieces()
  return blobs
end

-- Do something when all is decided, and before the rows are written: read a row as the step leaves it.
function step.at_end(later)
  told[#told + 1] = later
end

-- Write something when all is decided, beside the rows.
function step.when_written(write)
  writers[#writers + 1] = write
end

-- Wake whoever waits for a topic.
function step.wake(topic)
  step.topics[topic] = true
end

-- Wake whoever waits for a job.
function step.wake_job(id)
  step.jobs[id] = true
end

-- Look at the jobs that are held for a reason and by a name when the step is nearly done: there may be room for them.
-- `granted` opens approvals too.
function step.room(reason, by, granted)
  local line = reason .. ' ' .. by
  rooms[line] = rooms[line] or {reason = reason, by = by, granted = false}
  if granted then rooms[line].granted = true end
end

-- Look at them now, if there are any.
function step.let_go()
  if next(rooms) ~= nil then holding.let_go_on_room() end
end

-- Let the first in line hold keys that have room, when the step is nearly done.
function step.has_room_at_keys()
  calls_up = true
end

-- Let them do so now.
function step.call_up()
  if calls_up then pausing.call_up() end
  calls_up = false
end

-- Those that appeared since this was last asked, {reason, by, granted}, by reason and name.
function step.take_rooms()
  local found = {}
  for _, room in pairs(rooms) do found[#found + 1] = room end
  table.sort(found, function(one, other)
    if one.reason ~= other.reason then return order.less(one.reason, other.reason) end
    return order.less(one.by, other.by)
  end)
  rooms = {}
  return found
end

-- End the step with an error of ours: its class, and what it says. Nothing may have been written yet.
function step.refuse(class, detail)
  error({refused = class, detail = detail}, 0)
end
