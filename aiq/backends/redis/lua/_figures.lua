-- figures: numbers as sentences show them. As aiq/policy/telling.py.

-- A whole number with a comma before every three digits.
function figures.grouped(number)
  local text = digits(math.abs(number))
  local found = text:reverse():gsub('(%d%d%d)', '%1,'):reverse():gsub('^,', '')
  return (number < 0 and '-' or '') .. found
end

-- A number and what it counts: 1 token, 2,000 tokens.
function figures.counted(number, noun)
  return figures.grouped(number) .. ' ' .. noun .. (number == 1 and '' or 's')
end

-- Micro-dollars as dollars, exactly, with cents at least: $2.50, $0.000125, -$1.00.
function figures.money(usd_micros)
  local whole = math.floor(math.abs(usd_micros) / 1000000)
  local rest = string.format('%06.0f', math.abs(usd_micros) % 1000000):gsub('0+$', '')
  return (usd_micros < 0 and '-' or '') .. '$' .. figures.grouped(whole) .. '.' .. rest .. ('0'):rep(2 - #rest)
end
