-- holding: holding jobs, and letting them go when there is room for them.
--
-- Tables: holds, by job: {number, reason, by, need}; held, by line: how many jobs stand in it; letting_go, by line:
-- {left, granted, after}, what was left of a budget when a step had let as many jobs go as one may.
-- Sorted sets, of jobs by the number of their hold: holds:LINE, and approvals:LINE of those whom only a grant lets go;
-- `lines_left`, of the lines in `letting_go`, by their names; and `renewals`, of budgets with jobs held on them by the end of the window in which these were last looked at.
-- Counters: holds the number of the last one, letting_go how many lines steps have left to upkeep.
-- spec: HOLD-1 to HOLD-8, BUDGET-7

local RETURNED = 0
-- How many jobs of a line are read at once: few at first, since most often the first of them does not fit.
local FEW, MANY = 8, 256
local WAIT_FOR_ROOM = {budget = true, approval = true}

-- What jobs are held for together: a budget (approvals too) or another reason, and by what.
function holding.line_of(reason, by)
  return (WAIT_FOR_ROOM[reason] and 'budget' or reason) .. ' ' .. by
end

local function split(line)
  return line:match('^(%l+) (.*)$')
end

local function set_of(line, approvals)
  return (approvals and 'approvals:' or 'holds:') .. redis.sha1hex(line)
end

-- Why a job is held, or nil.
function holding.hold_of(job_id)
  return rows.get('holds', job_id)
end

-- How many jobs stand in a line.
function holding.standing(line)
  return rows.get('held', line) or 0
end

local function await_window(line)
  local reason, by = split(line)
  if reason ~= 'budget' then return end
  local spec = holding.standing(line) > 0 and books.budget(by)
  local end_ms = spec and budgets.window_end(spec.window, step.now_ms)
  if end_ms then zsets.put('renewals', by, end_ms) else zsets.drop('renewals', by) end
end

-- Put a job into its line, at the place of its number.
function holding.stand(job_id, hold)
  local line = holding.line_of(hold.reason, hold.by)
  rows.put('holds', job_id, hold)
  zsets.put(set_of(line, hold.reason == 'approval'), job_id, hold.number)
  counters.add('held', line, 1)
  return line
end

-- Put a job that comes from another storage into its line; its budget has come before it.
function holding.restore(job_id, hold)
  await_window(holding.stand(job_id, hold))
end

-- Take a job out of its line.
function holding.drop(job_id)
  local hold = rows.get('holds', job_id)
  local line = holding.line_of(hold.reason, hold.by)
  rows.drop('holds', job_id)
  zsets.drop(set_of(line, hold.reason == 'approval'), job_id)
  counters.add('held', line, -1)
  if holding.standing(line) == 0 and WAIT_FOR_ROOM[hold.reason] then zsets.drop('renewals', hold.by) end
end

-- Hold a ready or running job (T21), behind those that are held for the same. `after` says for what.
function holding.keep(before, after, need)
  local moved = transition.move('T21', before, rows.with(after, {state = 'held'}))
  local hold = {number = counters.raise('holds'), reason = moved.held, by = moved.held_by, need = need}
  await_window(holding.stand(moved.id, hold))
  return moved
end

-- Make a held job ready (T22).
function holding.let_go(job)
  return transition.move('T22', job, transition.readied(job, RETURNED))
end

-- Some amounts of the budget of a line, as it stands now; nothing bounds the other reasons.
local function figures_of(line, of)
  local reason, by = split(line)
  local spec = reason == 'budget' and books.budget(by)
  return spec and of(spec, drawing.state_of(spec)) or {}
end

local function fits(need, left)
  for name, amount in pairs(left) do
    if (need[name] or 0) > amount then return false end
  end
  return true
end

-- Whether a budget could hold an amount now. spec: HOLD-7
function holding.has_room(budget_id, need)
  return books.budget(budget_id) ~= nil and fits(need, figures_of('budget ' .. budget_id, budgets.room))
end

-- What earlier steps have left of a line to upkeep; it is not theirs any more.
local function take_note(line)
  if counters.get('letting_go') == 0 then return nil end
  local note = rows.get('letting_go', line)
  if not note then return nil end
  rows.drop('letting_go', line)
  zsets.drop('lines_left', line)
  counters.raise('letting_go', -1)
  return note
end

-- Whether a job may be let go where a budget has more room than before.
function holding.may_let_go(budget_id)
  return counters.get('letting_go') > 0 or holding.standing(holding.line_of('budget', budget_id)) > 0
end

-- Leave the rest of a line to upkeep.
function holding.leave_over(line, note)
  if not rows.get('letting_go', line) then
    counters.raise('letting_go')
    zsets.put('lines_left', line, 0)
  end
  rows.put('letting_go', line, note)
end

-- The ids of a line's jobs behind a number, in their order, at most so many.
local function page_of(line, granted, after, most)
  local ids = {}
  for _, approvals in ipairs(granted and {false, true} or {false}) do
    local from = '(' .. digits(after)
    local found = zsets.read('ZRANGEBYSCORE', set_of(line, approvals), from, '+inf', 'LIMIT', 0, most)
    for _, id in ipairs(found) do ids[#ids + 1] = id end
  end
  rows.fetch('holds', ids)
  table.sort(ids, function(one, other) return rows.get('holds', one).number < rows.get('holds', other).number end)
  local page = {}
  for place = 1, math.min(most, #ids) do page[place] = ids[place] end
  return page
end

-- Let those of a page go who fit, at most `limit` of them. The answer is how many they are, whether the line goes on
-- behind the page, and, if so, what is left; `room` says what was left before.
local function let_page_go(line, page, room, most, limit)
  local done = 0
  jobs.fetch(page)
  for _, id in ipairs(page) do
    local hold = rows.get('holds', id)
    if fits(hold.need, most) then
      if not fits(hold.need, room.left) then return done, false end
      if done == limit then
        holding.leave_over(line, room)
        return done, false
      end
      local left = {}
      for name, amount in pairs(room.left) do left[name] = amount - (hold.need[name] or 0) end
      room = {left = left, granted = room.granted, after = hold.number}
      local job = jobs.get(id)
      -- The row of one may have been removed by hand: nobody is to stand behind it for ever.
      if job then holding.let_go(job) else holding.drop(id) end
      done = done + 1
    end
  end
  return done, true, room
end

-- Let go the first jobs of a line, as long as each fits into what those before it leave.
--
-- One that needs more than the budget ever gives is passed over; upkeep goes on behind so many of them.
local function let_line_go(line, room, limit)
  if holding.standing(line) == 0 then return 0 end
  local most, done, looked, size = figures_of(line, budgets.ceiling), 0, 0, FEW
  while true do
    local page = page_of(line, room.granted, room.after or 0, size)
    if #page == 0 then break end
    local last = rows.get('holds', page[#page]).number
    local more, goes_on, rest = let_page_go(line, page, room, most, limit - done)
    done, looked = done + more, looked + #page
    if not goes_on then break end
    room = {left = rest.left, granted = rest.granted, after = last}
    if looked >= bounds.MAX_LOOKED then
      holding.leave_over(line, room)
      break
    end
    size = MANY
  end
  await_window(line)
  return done
end

-- Let held jobs go for whom room has appeared in this step, at most `limit` (MAX_SWEEP); say how many.
--
-- What that leaves over is noted, and upkeep goes on with it. spec: HOLD-4, HOLD-8
function holding.let_go_on_room(limit)
  local done = 0
  for _, one in ipairs(step.take_rooms()) do
    local line = holding.line_of(one.reason, one.by)
    local note = take_note(line)
    local granted = one.granted or (note and note.granted) or false
    if holding.standing(line) > 0 then
      local room = {left = figures_of(line, budgets.room), granted = granted}
      done = done + let_line_go(line, room, (limit or bounds.MAX_SWEEP) - done)
    end
  end
  return done
end

-- Let those held jobs go whose budget has begun a new window, and whom earlier steps have left over, of at most `limit`
-- budgets each. spec: BUDGET-7
function holding.go_on_letting_go(limit)
  for _, budget_id in ipairs(zsets.until_('renewals', step.now_ms, limit)) do step.room('budget', budget_id) end
  local opened, many, done, left_over = {}, 0, 0, 0
  for _, one in ipairs(step.take_rooms()) do
    opened[holding.line_of(one.reason, one.by)] = true
    many = many + 1
    step.room(one.reason, one.by, one.granted)
  end
  for _, line in ipairs(holding.left_over() and zsets.first('lines_left', limit + many) or {}) do
    if not opened[line] and left_over < limit then
      left_over = left_over + 1
      done = done + let_line_go(line, take_note(line), limit - done)
    end
  end
  return done + holding.let_go_on_room(limit - done)
end

-- Whether upkeep has something to go on with at once.
function holding.left_over()
  return counters.get('letting_go') > 0
end
