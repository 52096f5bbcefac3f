-- put_budgets: store budgets by id, all of them or none; what was spent and held stays.
-- flags: allow-oom
-- args: budgets (BudgetSpec), absent_only
-- returns: the budget that stands under the id of each
-- spec: BUDGET-9, HOLD-4
local wanted = trees.to_store(trees.relatives(args.budgets), args.budgets, args.absent_only)
for _, spec in ipairs(wanted) do trees.move_out(spec) end
for _, spec in ipairs(wanted) do
  books.put_budget(setmetatable(spec, defaults.BudgetSpec))
  step.room('budget', spec.id)
end
local found = {}
for place, spec in ipairs(args.budgets) do found[place] = books.budget(spec.id) end
return found
