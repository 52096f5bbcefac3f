-- audit_graves: whether the dead-letter view says of the jobs what they are. `tell(clause, text, job_id)` takes what is
-- wrong; without an id it is about the job that is looked at.
-- spec: DEAD-1, DEAD-3, DEAD-11

-- Each dead job stands in a group, and what had another generation is known.
function audit_graves.of_job(job, tell)
  local death = graves.death(job.id)
  local listed = death and zsets.score(graves.members(death.fingerprint), job.id)
  if (job.state == 'dead') ~= (listed and graves.group(death.fingerprint) ~= nil or false) then
    tell('DEAD-1', 'it is ' .. job.state .. ', and the groups of the dead do not agree')
  end
  if (job.generation > 1) ~= (graves.following(job.id) ~= nil) then
    tell('DEAD-11', 'it is in generation ' .. digits(job.generation) .. ', and its redrives do not agree')
  end
end

-- A group counts the jobs that stand in it.
function audit_graves.of_group(fingerprint, tell)
  local dead = zsets.read('ZCARD', graves.members(fingerprint))
  if graves.group(fingerprint).dead ~= dead then
    tell('DEAD-3', 'the group counts other jobs than the ' .. dead .. ' that stand in it', fingerprint)
  end
end

-- What is known of a dead or redriven job is of one that is stored.
function audit_graves.of_row(job_id, tell)
  if not jobs.get(job_id) then tell('DEAD-1', 'it is not stored, and known to the groups of the dead', job_id) end
end
