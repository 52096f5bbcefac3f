-- trees: budgets as a tree: which of some are to be stored, and whether their chains stay short.
-- spec: BUDGET-9

local function check_chain(tree, spec)
  local length, parent = 1, spec.parent
  while parent do
    length = length + 1
    if length > bounds.MAX_CHAIN then
      local most = digits(bounds.MAX_CHAIN)
      step.refuse('Conflict', {
        message = 'The chain from budget "' .. spec.id .. '" to its last ancestor is endless, or longer than ' .. most .. '.',
        reason = 'parent',
      })
    end
    parent = tree[parent].parent
  end
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
  local names = {}
  for id in pairs(tree) do names[#names + 1] = id end
  table.sort(names)
  for _, id in ipairs(names) do check_chain(tree, tree[id]) end
  return found
end
