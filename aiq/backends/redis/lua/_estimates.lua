-- estimates: what a call is expected to need, declared or learned.
--
-- As aiq/rules/estimates.py. An estimate may be nil; `learned` is a row with the defaults of `Learned`; a need comes out
-- as a row of `Need`, without what is as by default: it is stored with each reservation.
-- spec: EST-1 to EST-3

-- Settled calls before what was learned counts.
local ENOUGH = 20
-- Tokens of input, and of output, that stand for a call of which nobody knows anything.
local UNKNOWN = 1000
local LEAST_STEP = 50
local THOUSAND_5 = 1000 ^ 5
local NOTHING = {}
local MOST_COUNTED = 143

local steps

-- How far a sample moves the quantile, per mille, by the number of samples before it: the largest s with
-- s <= 1000 / count^0.6, that is s^5 count^3 <= 1000^5. A product that is rounded keeps its side of 1000^5.
local function step_of(count)
  if not steps then
    steps = {}
    local s = 1000
    for number = 1, MOST_COUNTED do
      while s > LEAST_STEP and s * s * s * s * s * (number * number * number) > THOUSAND_5 do s = s - 1 end
      steps[number] = s
    end
  end
  return steps[math.min(count, MOST_COUNTED)]
end

local function moved(quantile, count, tokens)
  local sample = tokens * 1000
  if count == 0 then return math.max(1000, sample) end
  local s = step_of(count)
  local factor = sample > quantile and 10000 + 9 * s or 10000 - s
  return math.max(1000, exact.muldiv(quantile, factor, 10000))
end

local function expected(quantile, count, most)
  if count < ENOUGH then return most or UNKNOWN end
  local known = math.floor(quantile / 1000)
  return most and math.min(most, known) or known
end

-- What is known after one more settled call, with the tokens that were reported; nil teaches nothing.
function estimates.taught(learned, input, output)
  if input then
    learned = rows.with(learned, {input = moved(learned.input, learned.inputs, input), inputs = learned.inputs + 1})
  end
  if output then
    learned = rows.with(learned, {output = moved(learned.output, learned.outputs, output), outputs = learned.outputs + 1})
  end
  return learned
end

local function named(model, said)
  return model ~= '' and model or said.model or ''
end

-- Fill in what was not declared. `model` is what the job's route says, if anything.
--
-- The need counts as declared where its input is. Where nobody said anything of the output, 1 token of it is of use, so
-- that a budget with less room than a guess lowers the guess instead of keeping the job. spec: EST-1, BUDGET-8
function estimates.need(estimate, learned, model)
  local said = estimate or NOTHING
  local most = said.max_output or said.output
  local output = said.output or expected(learned.output, learned.outputs, most)
  local found = setmetatable({
    model = named(model, said),
    input = said.input or expected(learned.input, learned.inputs),
    output = output,
    max_output = most or output,
    min_output = said.min_output or not most and 1 or nil,
  }, defaults.Need)
  if not said.input then found.declared = false end
  if not said.max_output then found.open_ended = true end
  return found
end

-- Only what somebody said; every other number is 0. A job is refused for its size by this alone. spec: CALL-17
function estimates.declared(estimate, model)
  local said = estimate or NOTHING
  local output = said.output or 0
  return setmetatable({
    model = named(model, said),
    input = said.input or 0,
    output = output,
    max_output = said.max_output or output,
  }, defaults.Need)
end
