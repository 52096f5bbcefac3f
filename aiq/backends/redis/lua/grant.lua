-- grant: add to the caps of a budget in its present window, once, and let held jobs go.
-- flags: allow-oom
-- args: budget, grant (its id), amounts
-- returns: the budget as a BudgetStatus
-- spec: BUDGET-10, HOLD-4
local spec = books.budget(args.budget)
if not spec then
  local told = 'No budget "' .. args.budget .. '" is stored. Store it with `queue.admin.put_budget` first.'
  step.refuse('NotFound', {args.budget, told})
end
local grants = books.grants(args.budget)
if not call('ZSCORE', grants, args.grant) then
  budgets.check_grant(spec, args.amounts)
  local state = drawing.state_of(spec)
  call('ZADD', grants, digits(state.window_ms), args.grant)
  books.put_budget_state(spec.id, rows.with(state, {granted = budgets.total(state.granted, args.amounts)}))
  step.room('budget', spec.id, true)
  holding.let_go_on_room()
end
return ceilings.status(spec)
