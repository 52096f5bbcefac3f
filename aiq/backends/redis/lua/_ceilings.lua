-- ceilings: budgets as they are told: each with how it stands now, and how many jobs are held on it.

function ceilings.status(spec)
  local waiting = holding.standing(holding.line_of('budget', spec.id))
  return {spec = spec, state = drawing.state_of(spec), waiting = waiting}
end
