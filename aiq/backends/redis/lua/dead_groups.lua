-- dead_groups: read one page of the groups of dead jobs.
-- looks
-- flags: allow-oom,no-writes
-- args: by ('last_seen' or 'dead'), limit, ages (in ms, from the least), fingerprint (of the only group asked for),
--   after ({figure below zero, fingerprint}: the place behind which the page begins)
-- returns: groups: for each {group, oldest_ms, ages, samples}; more: whether there are groups behind them
-- spec: DEAD-7, DEAD-8

-- How many groups stand up to a place. Those of one figure are in the order of their fingerprints.
local function up_to(name, figure, fingerprint)
  local low = zsets.read('ZCOUNT', name, '-inf', '(' .. digits(figure))
  local high = zsets.read('ZCOUNT', name, '-inf', digits(figure))
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = zsets.read('ZRANGE', name, middle, middle)[1]
    if order.less(fingerprint, found) then high = middle else low = middle + 1 end
  end
  return low
end

local function asked()
  local name = 'groups_by_' .. args.by
  if not args.fingerprint then
    local first = args.after and up_to(name, args.after[1], args.after[2]) or 0
    return zsets.read('ZRANGE', name, first, first + args.limit)
  end
  local figure = zsets.read('ZSCORE', name, args.fingerprint)
  if not figure then return {} end
  local after = args.after
  figure = tonumber(figure)
  local is_behind = not after or figure > after[1] or figure == after[1] and order.less(after[2], args.fingerprint)
  return is_behind and {args.fingerprint} or {}
end

-- How many of a group's jobs died how long ago: within each of the ages that are in none before, and the rest.
local function ages_of(members)
  local counts, most = {}, '+inf'
  for place, age_ms in ipairs(args.ages) do
    local since = digits(step.now_ms - age_ms)
    counts[place] = zsets.read('ZCOUNT', members, since, most)
    most = '(' .. since
  end
  counts[#counts + 1] = zsets.read('ZCOUNT', members, '-inf', most)
  return counts
end

local function samples_of(fingerprint)
  local ids, found = graves.samples(fingerprint), {}
  rows.fetch('deaths', ids)
  for _, id in ipairs(ids) do
    local death = graves.death(id)
    found[#found + 1] = {job_id = id, died_at_ms = death.died_at_ms, text = death.sample, n = death.n}
  end
  table.sort(found, function(one, other)
    if one.died_at_ms ~= other.died_at_ms then return one.died_at_ms < other.died_at_ms end
    return one.n < other.n
  end)
  return found
end

local function status(fingerprint)
  local members = graves.members(fingerprint)
  local oldest = zsets.read('ZRANGE', members, 0, 0, 'WITHSCORES')
  return {
    group = graves.group(fingerprint),
    oldest_ms = tonumber(oldest[2]),
    ages = ages_of(members),
    samples = samples_of(fingerprint),
  }
end

local fingerprints_asked = asked()
local found, more = {}, #fingerprints_asked > args.limit
rows.fetch('groups', fingerprints_asked)
rows.fetch('samples', fingerprints_asked)
for place = 1, math.min(#fingerprints_asked, args.limit) do found[place] = status(fingerprints_asked[place]) end
return {groups = found, more = more}
