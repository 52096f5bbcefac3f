-- get_budgets: read budgets as they stand in their present window: those named, or all behind an id, in their order.
-- flags: allow-oom,no-writes
-- looks
-- args: ids, after, limit
-- returns: a list of BudgetStatus
-- spec: BUDGET-7
local ids, found = args.ids, {}
if #ids == 0 then ids = call('ZRANGEBYLEX', key('budget_ids'), '(' .. args.after, '+', 'LIMIT', 0, args.limit) end
rows.fetch('budgets', ids)
for _, id in ipairs(ids) do
  local spec = #found < args.limit and books.budget(id)
  if spec then found[#found + 1] = ceilings.status(spec) end
end
return found
