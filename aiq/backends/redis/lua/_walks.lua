-- walks: going through a table, an order, or all jobs, a page at a time, by a place that is a text.
--
-- A walk is a function of the place behind which to go on ('' at first) and of a page, and answers with the next place,
-- or nil at the end. A page says how much room is left: `page.rows` and `page.bytes`. Nothing is written between two
-- calls: the storage is retired, or whoever reads it takes what he finds.
-- spec: MOVE-7


-- A page with room for so much.
function walks.page(limit, bytes)
  return {rows = limit, bytes = bytes, found = {}}
end

-- Whether nothing more goes into a page.
function walks.is_full(page)
  return page.rows <= 0 or page.bytes <= 0
end

-- Put something into a page; `bytes` are what users have put into it.
function walks.put(page, record, bytes)
  page.found[#page.found + 1] = record
  page.rows, page.bytes = page.rows - 1, page.bytes - (bytes or 0)
end

local function by_name(name, place, page, visit)
  local behind = place:sub(2)
  for _, id in ipairs(order.sorted(call('HKEYS', key(name)))) do
    if place == '' or order.less(behind, id) then
      visit(id, rows.get(name, id))
      if walks.is_full(page) then return '=' .. id end
    end
  end
end

-- A page of it may have a few rows more than there is room for: those that Redis gives out together.
local function by_cursor(name, place, page, visit)
  local cursor = place == '' and '0' or place:sub(2)
  repeat
    local found = call('HSCAN', key(name), cursor, 'COUNT', math.max(1, math.floor(page.rows / 2)))
    cursor = found[1]
    for number = 1, #found[2], 2 do visit(found[2][number], cmsgpack.unpack(found[2][number + 1])) end
    if cursor == '0' then return nil end
  until walks.is_full(page)
  return '@' .. cursor
end

-- Go through the rows of a table, by the order of their names where it is no larger than a page, else by a cursor of Redis;
-- `visit(id, row)` puts what it makes of one into the page.
function walks.of_table(name, visit)
  return function(place, page)
    local named = place == '' and call('HLEN', key(name)) <= bounds.MAX_PAGE or place:sub(1, 1) == '='
    return (named and by_name or by_cursor)(name, place, page, visit)
  end
end

-- Go through members of an order, from the first on; `visit(member, score)`. The place is how many were seen.
function walks.of_order(key_, visit)
  return function(place, page)
    local seen = tonumber(place) or 0
    local flat = call('ZRANGE', key_, seen, seen + page.rows - 1, 'WITHSCORES')
    for number = 1, #flat, 2 do
      visit(flat[number], tonumber(flat[number + 1]))
      seen = seen + 1
      if walks.is_full(page) then return digits(seen) end
    end
  end
end

-- Go through a list of Redis; `visit(text)`. The place is how many were seen.
function walks.of_texts(key_, visit)
  return function(place, page)
    local seen = tonumber(place) or 0
    for _, text in ipairs(call('LRANGE', key_, seen, seen + page.rows - 1)) do
      visit(text)
      seen = seen + 1
      if walks.is_full(page) then return digits(seen) end
    end
  end
end

-- Go through a list that is made anew each time, which is short.
function walks.of_list(make, visit)
  return function(place, page)
    local found, seen = make(), tonumber(place) or 0
    while seen < #found do
      seen = seen + 1
      visit(found[seen])
      if walks.is_full(page) then return digits(seen) end
    end
  end
end

-- Go through owners, and what each of them has. `next_owner(place)` names the one behind a place, which is a text, and
-- the owner himself; `walk(owner)` is the walk through what he has.
function walks.of_owners(next_owner, walk)
  return function(place, page)
    local behind, inner = place:match('^([^\n]*)\n(.*)$')
    behind, inner = behind or '', inner or ''
    for _ = 1, bounds.MAX_LOOKED do
      local at, owner = next_owner(behind)
      if not at then return nil end
      local left = owner and walk(owner)(inner, page)
      if left then return behind .. '\n' .. left end
      behind, inner = at, ''
      if walks.is_full(page) then break end
    end
    return behind .. '\n'
  end
end

-- Go through what jobs have, in the order of enqueueing; `walk(job)` is the walk through what one of them has. The place
-- is the number of the job at which to go on, and the place within that.
function walks.of_jobs(walk)
  return function(place, page)
    local number, inner = place:match('^(%d+) (.*)$')
    local first, looked, newest = tonumber(number) or 1, 0, counters.get('jobs')
    while first <= newest do
      if looked >= bounds.MAX_LOOKED then return digits(first) .. ' ' end
      local some, behind = jobs.numbered(first)
      for place_, job in ipairs(some) do
        local left = walk(job)(place_ == 1 and job.n == first and inner or '', page)
        if left then return digits(job.n) .. ' ' .. left end
        if walks.is_full(page) then return digits(job.n + 1) .. ' ' end
      end
      first, inner, looked = behind, '', looked + math.max(1, #some)
    end
  end
end

-- Go through jobs themselves.
function walks.of_each_job(visit)
  return walks.of_jobs(function(job)
    return function() visit(job) end
  end)
end
