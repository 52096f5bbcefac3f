-- exact: whole numbers whose products pass 2^53, beyond which a number of Lua is not exact any more.
--
-- Factors and divisors are whole numbers of at most 2^53; a divisor is above 0. Of those up to 2^53 `math.floor(a / b)`
-- is exact as it stands: what a quotient lacks to the next whole number is more than half of its last bit.

local TOP = 2 ^ 53
local HALVES = 2 ^ 50

-- A quotient, rounded up.
function exact.ceildiv(value, divisor)
  return math.ceil(value / divisor)
end

-- What is left of a number below zero is above it, as in Python. Multiplying back would pass 2^53.
local function remainder(value, divisor)
  local left = math.fmod(value, divisor)
  return left < 0 and left + divisor or left
end

-- The sum of two numbers below a divisor, as what is left of it and how often the divisor is in it.
local function carried(left, more, divisor)
  if left >= divisor - more then return left - (divisor - more), 1 end
  return left + more, 0
end

-- A product over a divisor, as the quotient rounded down and what is left. A quotient that passes 2^53 is not exact.
function exact.product_over(a, b, divisor)
  local product = a * b
  if product > -TOP and product < TOP then
    return math.floor(product / divisor), remainder(product, divisor)
  end
  if b < 0 then a, b = -a, -b end
  local whole, rest, factor = math.floor(a / divisor), remainder(a, divisor), b
  local quotient, left, carry = 0, 0, 0
  -- A long division of rest * factor, one bit of the factor after the other.
  local bit_value = 2 ^ 53
  while bit_value >= 1 do
    left, carry = carried(left, left, divisor)
    quotient = 2 * quotient + carry
    if factor >= bit_value then
      factor = factor - bit_value
      left, carry = carried(left, rest, divisor)
      quotient = quotient + carry
    end
    bit_value = bit_value / 2
  end
  return whole * b + quotient, left
end

-- A product over a divisor, rounded down.
function exact.muldiv(a, b, divisor)
  return (exact.product_over(a, b, divisor))
end

-- A sum of products over a divisor, as `product_over`; the factors follow each other.
function exact.sum_over(divisor, ...)
  local factors = {...}
  local quotient, left = 0, 0
  for place = 1, #factors, 2 do
    local more, rest = exact.product_over(factors[place], factors[place + 1], divisor)
    local carry
    left, carry = carried(left, rest, divisor)
    quotient = quotient + more + carry
  end
  return quotient, left
end

-- a * b + c * d, of products up to 2^100: exact where the sum is below 2^53, and beyond that on its right side.
function exact.dot(a, b, c, d)
  local first, second = a * b, c * d
  if first > -TOP and first < TOP and second > -TOP and second < TOP then return first + second end
  local high, low = exact.product_over(a, b, HALVES)
  local more, rest = exact.product_over(c, d, HALVES)
  return (high + more) * HALVES + (low + rest)
end
