-- charging: what a call takes of a limit when it begins, and what of its use counts when it ends.
--
-- As aiq/rules/charging.py. A part is a row with the defaults of `Part`; whoever reads parts that stand in another row
-- gives them these defaults. A use is {model, tokens by category}.
-- spec: CALL-1, CALL-17

-- What a job counts for where no limit counts its tokens: so much that a tenant's weight can divide it.
charging.JOB = 1000

local USUAL = 1000
local PRODUCED = {output = true, reasoning = true}
-- A hold must stay a number that every store keeps; this binds only where a sub-unit is absurdly small.
local MOST_HELD = math.floor(bounds.MAX_LEVEL / 4)

local function weighed(count, weights, category)
  local weight = weights[category] or USUAL
  return weight == USUAL and count or exact.muldiv(count, weight, USUAL)
end

local CHARGES = {
  stream = function(spec, need, taken, most)
    return taken, math.min(weighed(need.output, spec.weights, 'output'), most)
  end,
  reserve = function(_, _, taken, most) return taken + most, 0 end,
  max = function(_, _, taken, most) return math.max(taken, most), 0 end,
  input = function(_, _, taken) return taken, 0 end,
}

-- The most whole tokens that one call may take at once: the capacity, or one period's, if that is more.
function charging.most_at_once(spec, tokens)
  return math.max(buckets.whole(buckets.scale(tokens, spec.per_ms, spec.burst_ms)), tokens)
end

-- What a call takes of one limit. The caller sets `slot`, which depends on what the run holds already.
--
-- What was not declared counts at most as much as fits, so that a guess never keeps a job from running.
function charging.part(spec, key_, need)
  local found = setmetatable({limit = spec.name, key = key_ ~= '' and key_ or nil, requests = 1}, defaults.Part)
  if not spec.tokens then return found end
  local taken = weighed(need.input, spec.weights, 'input')
  local most = weighed(need.max_output, spec.weights, 'output')
  local charge, rest = CHARGES[spec.charge](spec, need, taken, most)
  if not need.declared then charge = math.min(charge, charging.most_at_once(spec, spec.tokens)) end
  local bound = math.floor(MOST_HELD / buckets.scale(spec.tokens, spec.per_ms, spec.burst_ms).sub)
  found.charge, found.rest = charge, math.min(rest, bound)
  return found
end

-- The tokens of all models together, by category.
function charging.total_of(used)
  if #used == 1 then return used[1].tokens end
  local tokens = {}
  for _, one in ipairs(used) do
    for category, count in pairs(one.tokens) do tokens[category] = (tokens[category] or 0) + count end
  end
  return tokens
end

-- The sum of tokens by their weights per mille (1000 where none is set), rounded down for each category.
function charging.weighted(tokens, weights)
  local sum = 0
  for category, count in pairs(tokens) do
    if count > 0 then sum = sum + weighed(count, weights, category) end
  end
  return sum
end

-- The weighted tokens of a call that count when it is settled on a limit.
function charging.counted(spec, used)
  local tokens = charging.total_of(used)
  if spec.charge ~= 'input' then return charging.weighted(tokens, spec.weights) end
  local into = {}
  for category, count in pairs(tokens) do
    if not PRODUCED[category] then into[category] = count end
  end
  return charging.weighted(into, spec.weights)
end

-- The limit on which the cost of a job is counted: the first by name that has tokens and no `by`; nil without one.
function charging.cost_limit(specs)
  local found
  for _, spec in ipairs(specs) do
    if spec.tokens and not spec.by and (not found or order.less(spec.name, found)) then found = spec.name end
  end
  return found
end

-- What a job counts for in the order of a claim: charge and held of its cost limit, at least 1; JOB without one.
function charging.cost(parts, cost_limit)
  if not cost_limit then return charging.JOB end
  for _, part in ipairs(parts) do
    if part.limit == cost_limit then return math.max(1, part.charge + part.rest) end
  end
  return 1
end
