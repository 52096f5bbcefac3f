-- graves: what is stored of the dead: their groups, and what became of those that have another generation.
--
-- A row of `groups` is a `DeadGroup`, by its fingerprint; `groups_by_last_seen` and `groups_by_dead` have them in the
-- orders in which they are asked for (a score is the figure below zero: the newest, or the largest, come first), and
-- `groups_at_rest` those in which no job stands, by when they last changed.
-- A row of `deaths` is a dead job: fingerprint, n and died_at_ms, sample, and the tokens and usd_micros that its group
-- counts of it. `members:…` are the jobs of a group by when they died; a row of `samples` names those of them of which
-- a sample is kept.
-- A row of `following` is a job that has another generation: redrive_id, the fingerprint of the group from which it
-- was redriven, until it has ended, and the tokens and usd_micros that groups count already.
-- spec: chapter 16

local SHAPE = defaults.DeadGroup

-- A group, or nil.
function graves.group(fingerprint)
  return rows.get('groups', fingerprint, SHAPE)
end

local function place(name, fingerprint, old, new)
  if old ~= new then zsets.put(name, fingerprint, 0 - new) end
end

-- Write a group, in the place of the one that stands there.
function graves.put_group(group)
  local before, fingerprint = graves.group(group.fingerprint), group.fingerprint
  place('groups_by_last_seen', fingerprint, before and before.last_seen_ms, group.last_seen_ms)
  place('groups_by_dead', fingerprint, before and before.dead, group.dead)
  if group.dead == 0 then
    zsets.put('groups_at_rest', fingerprint, group.touched_at_ms)
  elseif before and before.dead == 0 then
    zsets.drop('groups_at_rest', fingerprint)
  end
  rows.put('groups', fingerprint, setmetatable(group, SHAPE))
end

-- Forget a group.
function graves.drop_group(fingerprint)
  for _, name in ipairs({'groups_by_last_seen', 'groups_by_dead', 'groups_at_rest'}) do
    zsets.drop(name, fingerprint)
  end
  rows.drop('groups', fingerprint)
end

-- What is stored of a dead job, or nil.
function graves.death(job_id)
  return rows.get('deaths', job_id)
end

-- Write what is stored of a job that is dead already.
function graves.put_death(job_id, death)
  rows.put('deaths', job_id, death)
end

-- The name of the sorted set of the jobs of a group.
function graves.members(fingerprint)
  return 'members:' .. redis.sha1hex(fingerprint)
end

-- The jobs of a group of which a sample is kept.
function graves.samples(fingerprint)
  return rows.get('samples', fingerprint) or {}
end

-- Put a dead job into its group.
function graves.bury(job_id, death)
  zsets.put(graves.members(death.fingerprint), job_id, death.died_at_ms)
  rows.put('deaths', job_id, death)
  if not death.sample then return end
  local kept = {job_id}
  for _, other in ipairs(graves.samples(death.fingerprint)) do kept[#kept + 1] = other end
  rows.put('samples', death.fingerprint, kept)
end

-- Take a job out of its group, if it is dead, and tell what was stored of it.
function graves.unbury(job_id)
  local death = graves.death(job_id)
  if not death then return nil end
  zsets.drop(graves.members(death.fingerprint), job_id)
  rows.drop('deaths', job_id)
  if death.sample then
    local kept = {}
    for _, other in ipairs(graves.samples(death.fingerprint)) do
      if other ~= job_id then kept[#kept + 1] = other end
    end
    if #kept > 0 then rows.put('samples', death.fingerprint, kept) else rows.drop('samples', death.fingerprint) end
  end
  return death
end

-- What became of a job that has another generation, or nil.
function graves.following(job_id)
  return rows.get('following', job_id)
end

-- Write it.
function graves.follow(job_id, following)
  rows.put('following', job_id, following)
end

-- Forget it.
function graves.unfollow(job_id)
  rows.drop('following', job_id)
end
