-- fairness: which pool a job stands in, and whose turn it is: lines, lifts and credits.
--
-- As aiq/rules/fairness.py. Credits are a list of four, by band: that of band 0 is the first.
-- spec: FAIR-1, FAIR-2, FAIR-3, FAIR-6, BAND-2, BAND-3

-- The pool of jobs that take no limit, but by key, and have no tenant.
fairness.PLAIN = ''
-- The pool of jobs that take no limit, but by key, and have a tenant.
fairness.SHARED = '~'
-- The share of a less urgent band, per mille of what is given before it.
fairness.FLOOR = 100
fairness.WHOLE = 1000

-- Whether a limit binds all who stand in the line of a job: by tenant too, but by key each job for itself.
local function binds_line(spec, record)
  return not spec.by or spec.by == 'tenant' and record.tenant ~= ''
end

-- The name of the pool that a job stands in while it is on its present route. `specs` are the stored limits by name, at
-- least those that the job takes. Those of its queue's own settings bind all of its pools alike, and are part of no name.
function fairness.pool_of(specs, record)
  local names, seen = {}, {}
  for _, name in ipairs(jobs.taken_limits(record)) do
    local spec = not seen[name] and specs[name]
    seen[name] = true
    if spec and binds_line(spec, record) then names[#names + 1] = name end
  end
  if #names > 0 then return table.concat(order.sorted(names), ',') .. '|' .. jobs.model(record) end
  return record.tenant ~= '' and fairness.SHARED or fairness.PLAIN
end

-- The pool of a job by the limits that are stored.
function fairness.pool(record)
  local names, specs = jobs.taken_limits(record), {}
  if #names == 0 then return record.tenant ~= '' and fairness.SHARED or fairness.PLAIN end
  if #names > 1 then rows.fetch('limits', names) end
  for _, name in ipairs(names) do specs[name] = rows.get('limits', name, defaults.LimitSpec) end
  return fairness.pool_of(specs, record)
end

-- With what service a line begins that gets a ready job and had none; `least` is nil where no line has one.
function fairness.lifted(own, least, served)
  return math.max(own, least or served)
end

-- Whether a line without ready jobs would begin the same if nothing were kept of it.
function fairness.adds_nothing(own, least, served)
  return fairness.lifted(own, least, served) == fairness.lifted(0, least, served)
end

-- A line's service after a cost, or a correction below zero, at `weight` per mille.
function fairness.risen(service, cost, weight)
  local rise = exact.muldiv(cost, fairness.WHOLE, weight)
  -- However great its weight, a line that is served is served more than before; else it would never be another's turn.
  return service + (cost > 0 and math.max(1, rise) or rise)
end

-- All credits, with another one for one band.
function fairness.with_credit(credits, band, credit)
  local found = {credits[1], credits[2], credits[3], credits[4]}
  found[band + 1] = credit
  return found
end

-- What a band has after it was passed over once more; never more than `most`.
function fairness.credited(credits, band, added, most)
  return fairness.with_credit(credits, band, math.min(credits[band + 1] + added, most))
end

-- The first 32 bits of the fractional parts of the cube roots of the first 64 primes. Source: FIPS 180-4.
local ROUNDS = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}
local OPENING = {
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

local function words_of(text, first)
  local words = {}
  for place = 1, 16 do
    local a, b, c, d = text:byte(first + 4 * place - 4, first + 4 * place - 1)
    words[place] = ((a * 256 + b) * 256 + c) * 256 + d
  end
  local xor, ror, shift, whole = bit.bxor, bit.ror, bit.rshift, bit.tobit
  for place = 17, 64 do
    local early, late = words[place - 15], words[place - 2]
    local one = xor(ror(early, 7), ror(early, 18), shift(early, 3))
    local two = xor(ror(late, 17), ror(late, 19), shift(late, 10))
    words[place] = whole(words[place - 16] + one + words[place - 7] + two)
  end
  return words
end

local function compress(state, words)
  local xor, ror, both, other, whole = bit.bxor, bit.ror, bit.band, bit.bnot, bit.tobit
  local a, b, c, d, e, f, g, h = unpack(state)
  for place = 1, 64 do
    local mixed = xor(ror(e, 6), ror(e, 11), ror(e, 25)) + xor(both(e, f), both(other(e), g))
    local one = h + mixed + ROUNDS[place] + words[place]
    local two = xor(ror(a, 2), ror(a, 13), ror(a, 22)) + xor(both(a, b), both(a, c), both(b, c))
    a, b, c, d, e, f, g, h = whole(one + two), a, b, c, whole(d + one), e, f, g
  end
  for place, more in ipairs({a, b, c, d, e, f, g, h}) do state[place] = whole(state[place] + more) end
end

local digests = {}

-- The SHA-256 of a tenant, in hexadecimal: who goes first at equal service. Worked out once in a step.
function fairness.digest(tenant)
  local found = digests[tenant]
  if found then return found end
  local size = #tenant
  local length = string.char(0, 0, 0, 0, 0, math.floor(size / 2 ^ 13) % 256, math.floor(size / 32) % 256, size * 8 % 256)
  local text = tenant .. '\128' .. string.rep('\0', (55 - size) % 64) .. length
  local state = {unpack(OPENING)}
  for first = 1, #text, 64 do compress(state, words_of(text, first)) end
  for place, one in ipairs(state) do state[place] = bit.tohex(one) end
  found = table.concat(state)
  digests[tenant] = found
  return found
end
