-- trees: budgets as a tree: which of some are to be stored, and whether their chains stay short.
-- spec: BUDGET-9

local function check_chain(tree, spec)
  local length, parent = 1, spec.parent
  while parent do
    length = length + 1
    if length > bounds.MAX_CHAIN then
      local begins = 'The chain from budget "' .. spec.id .. '" to its last ancestor'
      local told = begins .. ' is endless, or longer than ' .. digits(bounds.MAX_CHAIN) .. '.'
      step.refuse('Conflict', {message = told, reason = 'parent'})
    end
    parent = tree[parent].parent
  end
end

local function ancestors(stored, id)
  while id and not stored[id] do
    local spec = books.budget(id)
    if not spec then return end
    stored[id], id = spec, spec.parent
  end
end

local function descendants(stored, id, depth)
  if depth == 0 then return end
  for _, child in ipairs(books.children(id)) do
    stored[child] = stored[child] or books.budget(child)
    descendants(stored, child, depth - 1)
  end
end

-- What is stored of budgets and their parents, and all that stand above them, and below those that move; by id.
function trees.relatives(budgets_)
  local stored = {}
  for _, spec in ipairs(budgets_) do
    ancestors(stored, spec.id)
    ancestors(stored, spec.parent)
  end
  for _, spec in ipairs(budgets_) do
    local before = stored[spec.id]
    if before and before.parent ~= spec.parent then descendants(stored, spec.id, bounds.MAX_CHAIN) end
  end
  return stored
end

-- Those of some budgets that are to be stored: a list of them, in their order. A parent may come with them.
--
-- `stored` are by id at least those that stand in their places, with all their ancestors and descendants. Refused are a
-- parent that is neither stored nor among them (NotFound), and a budget that would be its own ancestor, or a chain
-- longer than MAX_CHAIN (Conflict).
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
  -- A budget that moves takes those below it along.
  for _, id in ipairs(order.names(tree)) do check_chain(tree, tree[id]) end
  return found
end
