-- failures: what is written down when a job fails.
--
-- An error is a map with the fields of `JobError`; those that are as by default need not be there.
-- spec: RETRY-10, DEAD-2

local LEAD, FOLLOWS = 0xC0, 0x80

-- At most so many bytes of a text, whole characters, and such that every store can keep it.
function failures.cut(text, most)
  if text:find('%z') then text = text:gsub('%z', '\\0') end
  if #text <= most then return text end
  local last = most
  -- The byte behind the cut begins a character unless it is one that follows in it.
  while last > 0 and text:byte(last + 1) >= FOLLOWS and text:byte(last + 1) < LEAD do last = last - 1 end
  return text:sub(1, last)
end

-- The first characters of a text, as many as are said.
function failures.beginning(text, most)
  if #text <= most then return text end
  local characters = 0
  for place = 1, #text do
    local byte = text:byte(place)
    if byte < FOLLOWS or byte >= LEAD then characters = characters + 1 end
    if characters > most then return text:sub(1, place - 1) end
  end
  return text
end

-- The job's errors with one more: texts cut, time, fence and attempt filled in, the newest MAX_ERRORS kept.
--
-- `job` is as it was while it ran, so that the attempt is the one that failed. Whoever calls writes what is answered
-- with `jobs.put_errors`.
function failures.appended(job, error_, now_ms)
  local kept, told = jobs.errors(job.id), {}
  for place = math.max(1, #kept - bounds.MAX_ERRORS + 2), #kept do told[#told + 1] = kept[place] end
  told[#told + 1] = {
    type = failures.cut(error_.type, bounds.MAX_ERROR_BYTES),
    message = failures.cut(error_.message, bounds.MAX_ERROR_BYTES),
    traceback = failures.cut(error_.traceback or '', bounds.MAX_ERROR_BYTES),
    cause = error_.cause or 'handler',
    at_ms = now_ms,
    fence = job.fence,
    attempt = jobs.attempt(job),
    fingerprint = failures.of_error(error_),
    code = failures.cut(error_.code or '', bounds.MAX_OPAQUE_BYTES),
    place = failures.cut(error_.place or '', bounds.MAX_OPAQUE_BYTES),
    pattern = failures.cut(error_.pattern or '', bounds.MAX_PATTERN_BYTES),
  }
  return told
end

-- The fingerprint by which a store sorts an error. spec: DEAD-2
function failures.of_error(error_)
  if (error_.fingerprint or '') ~= '' then return error_.fingerprint end
  return fingerprints.OF_CAUSE[error_.cause or 'handler']
end

-- The error of a run whose lease was revoked because its time was over.
function failures.lease_expired(job)
  return {
    type = 'LeaseExpired',
    message = 'Worker ' .. job.owner .. ' did not renew the lease of ' .. digits(job.lease_ms) .. ' ms in time.',
    cause = 'stalled',
    -- Without whose lease it was: a group shows what all of its deaths have in common.
    pattern = 'A worker did not renew the lease in time.',
  }
end

-- The error of a job that never ran, because one it depends on ended badly.
function failures.upstream_failed(upstream)
  return {
    type = 'UpstreamFailed',
    message = 'The dependency ' .. upstream.id .. ' is ' .. upstream.state .. ', so this job never runs.',
    cause = 'upstream',
    pattern = 'A dependency ended badly, so this job never runs.',
  }
end
