-- prices: what tokens cost, in whole micro-dollars.
--
-- Tokens are counts by category, and prices are by category of a million tokens. The rows of a model are lists, in the
-- order of their category and instant: category, from_ms, usd_micros_per_million.
-- spec: USAGE-5, USAGE-6, USAGE-7, USAGE-9

local MILLION = 1000000

-- The prices of one model by category: of each the newest row that has begun. spec: USAGE-6, USAGE-7
function prices.in_force(listed, now_ms)
  local found = {}
  for _, row in ipairs(listed) do
    if row[2] <= now_ms then found[row[1]] = row[3] end
  end
  return found
end

-- The rows of a model with one more, in the place of the one of its category and instant.
function prices.with(listed, row)
  local found, standing_in = {}, false
  for _, one in ipairs(listed) do
    local same = one[1] == row[1]
    local behind = same and one[2] >= row[2] or not same and order.less(row[1], one[1])
    if behind and not standing_in then
      found[#found + 1] = row
      standing_in = true
    end
    if not (same and one[2] == row[2]) then found[#found + 1] = one end
  end
  if not standing_in then found[#found + 1] = row end
  return found
end

local function price_of(category, charged)
  if charged[category] then return charged[category] end
  local dearest = 0
  for _, price in pairs(charged) do dearest = math.max(dearest, price) end
  return dearest
end

-- A product as whole millions and what is left. It may be far beyond the numbers that are exact: its millions are so
-- up to MAX_MONEY at least, and more than that never counts.
local function millions(count, price)
  local many, few = math.floor(count / MILLION), count % MILLION
  local high, low = math.floor(price / MILLION), price % MILLION
  local rest = few * low
  return many * high * MILLION + many * low + few * high + math.floor(rest / MILLION), rest % MILLION
end

-- What each category costs together with those before it, in the order of `names`; there is a price. See `cost`.
--
-- All sums of money are made here, so that what a call costs and what its categories cost are rounded alike.
function prices.so_far(names, tokens, charged)
  local whole, rest, sums = 0, 0, {}
  for place, category in ipairs(names) do
    local more, left = millions(tokens[category], price_of(category, charged))
    rest = rest + left
    whole = math.min(whole + more, bounds.MAX_MONEY)
    sums[place] = math.min(bounds.MAX_MONEY, whole + math.ceil(rest / MILLION))
  end
  return sums
end

-- What tokens by category cost in micro-dollars, rounded up once, and how many of them have no price of their own.
--
-- Those cost what the dearest category does; where nothing has a price, nothing costs anything. More than MAX_MONEY
-- counts as that. spec: USAGE-5, USAGE-9
function prices.cost(tokens, charged)
  local names, unpriced = {}, 0
  for category, count in pairs(tokens) do
    names[#names + 1] = category
    if not charged[category] then unpriced = unpriced + count end
  end
  if next(charged) == nil then return 0, unpriced end
  return prices.so_far(names, tokens, charged)[#names] or 0, unpriced
end
