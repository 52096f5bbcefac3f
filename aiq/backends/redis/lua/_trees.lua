-- trees: budgets as a tree: which of some are to be stored, and whether their chains stay short.
--
-- A budget that moves takes those below it along, and these may be any number. So each knows of those right below it how
-- long the longest chain is that begins there and goes down: that is their score in the sorted set `budget_children:…` of
-- its digest. A chain that grows too long has a last link that moves, and below that only links that stay.
-- spec: BUDGET-9

-- How many of those right below a budget are looked at in one command.
local PAGE = 64

local function set_of(id)
  return 'budget_children:' .. redis.sha1hex(id)
end

-- Some budgets that name one as their parent, those with the longest chains below them first; from a rank on, counted
-- from 0.
local function children(id, first, count)
  return zsets.read('ZRANGE', set_of(id), first, first + count - 1, 'REV')
end

-- How long the longest chain is that begins with a budget and goes down.
local function depth(id)
  local first = zsets.read('ZRANGE', set_of(id), 0, 0, 'REV', 'WITHSCORES')
  return 1 + (tonumber(first[2]) or 0)
end

-- Whether its parent knows how long the chain is that begins with a budget; for the audit.
function trees.is_known(spec)
  return zsets.score(set_of(spec.parent), spec.id) == depth(spec.id)
end

-- Let all above a budget know how long the chains below them are now.
local function tell_parents(spec)
  while spec and spec.parent do
    local name, long = set_of(spec.parent), depth(spec.id)
    if zsets.score(name, spec.id) == long then return end
    zsets.put(name, spec.id, long)
    spec = rows.get('budgets', spec.parent)
  end
end

-- Let a budget that is written stand below its parent.
function trees.move_in(spec)
  if spec.parent then counters.add('budget_parents', spec.parent, 1) end
  tell_parents(spec)
end

-- Let a budget that is about to be removed, or to move, stand below its parent no more.
function trees.leave_parent(spec)
  counters.add('budget_parents', spec.parent, -1)
  zsets.drop(set_of(spec.parent), spec.id)
  tell_parents(rows.get('budgets', spec.parent))
end

-- Let a budget that is to stand elsewhere stand nowhere. Of several all do this first, so that never one is below itself.
function trees.move_out(spec)
  local before = rows.get('budgets', spec.id)
  if not before or not before.parent or before.parent == spec.parent then return end
  rows.put('budgets', spec.id, rows.with(before, {parent = none}))
  trees.leave_parent(before)
end

local function ancestors(stored, id)
  while id and not stored[id] do
    local spec = books.budget(id)
    if not spec then return end
    stored[id], id = spec, spec.parent
  end
end

-- What is stored of budgets and their parents, and all that stand above them; by id.
function trees.relatives(budgets_)
  local stored = {}
  for _, spec in ipairs(budgets_) do
    ancestors(stored, spec.id)
    ancestors(stored, spec.parent)
  end
  return stored
end

-- How long the chain from a budget to its last ancestor is; nil if that is too long, or endless.
local function length_of(tree, id)
  local length, parent = 1, tree[id].parent
  while parent do
    length = length + 1
    if length > bounds.MAX_CHAIN then return nil end
    parent = tree[parent].parent
  end
  return length
end

-- Those of some budgets that stand elsewhere from now on, and all above which they stood.
local function moves(stored, wanted, ids)
  local moved, above, list = {}, {}, {}
  for _, id in ipairs(ids) do
    local before = stored[id]
    if before and before.parent ~= wanted[id].parent then
      moved[id], list[#list + 1] = true, id
      local parent = before.parent
      while parent and not above[parent] do
        above[parent], parent = true, stored[parent].parent
      end
    end
  end
  return {moved = moved, above = above, list = list}
end

-- The longest chain below a budget, the budget first, of links that stay as they are.
local function longest(moving, id)
  local best, first = {}, 0
  local function take(child)
    local path = longest(moving, child)
    if #path > #best then best = path end
  end
  repeat
    -- The first that neither moves nor stood above one that does ends this: how long its chain is is true.
    local found = children(id, first, PAGE)
    for _, child in ipairs(found) do
      if not moving.moved[child] then
        take(child)
        if not moving.above[child] then return {id, unpack(best)} end
      end
    end
    first = first + #found
  until #found < PAGE
  return {id, unpack(best)}
end

-- A budget whose chain would be endless or too long: the first by id of a tree, and of the longest chains below budgets that
-- move.
local function too_long(tree, moving)
  local found
  local function name(id)
    if not found or order.less(id, found) then found = id end
  end
  for id in pairs(tree) do
    if not length_of(tree, id) then name(id) end
  end
  for _, id in ipairs(moving.list) do
    local length = length_of(tree, id) or bounds.MAX_CHAIN
    for place, below in ipairs(longest(moving, id)) do
      if length + place - 1 > bounds.MAX_CHAIN then name(below) end
    end
  end
  return found
end

-- Those of some budgets that are to be stored: a list of them, in their order. A parent may come with them.
--
-- `stored` are by id at least those that stand in their places, with all their ancestors. Refused are a parent that is
-- neither stored nor among them (NotFound), and a budget that would be its own ancestor, or a chain longer than MAX_CHAIN
-- (Conflict).
function trees.to_store(stored, budgets_, absent_only)
  local tree, wanted, ids = rows.with(stored, {}), {}, {}
  for _, spec in ipairs(budgets_) do
    if not absent_only or (not stored[spec.id] and not wanted[spec.id]) then
      if not wanted[spec.id] then ids[#ids + 1] = spec.id end
      wanted[spec.id], tree[spec.id] = spec, spec
    end
  end
  local found = {}
  for _, id in ipairs(ids) do
    local spec = wanted[id]
    if spec.parent and not tree[spec.parent] then
      local told = 'No budget "' .. spec.parent .. '" is stored, the parent of "' .. spec.id .. '".'
      step.refuse('NotFound', {spec.parent, told})
    end
    found[#found + 1] = spec
  end
  if #found == 0 then return found end
  local wrong = too_long(tree, moves(stored, wanted, ids))
  if wrong then
    local begins = 'The chain from budget "' .. wrong .. '" to its last ancestor'
    local told = begins .. ' is endless, or longer than ' .. digits(bounds.MAX_CHAIN) .. '.'
    step.refuse('Conflict', {message = told, reason = 'parent'})
  end
  return found
end
