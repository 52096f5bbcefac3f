-- ending: the step that ends a job: its stream is closed, and whoever waits for it is told.
-- spec: STATE-2, CANCEL-8

-- Move a job to a terminal state, with all that belongs to the same step.
--
-- What does not fit into it goes to the outbox: edges over MAX_FLIPS, and the cancelling of children. `sample` is what
-- the run told of its input.
function ending.end_job(row, before, after, sample)
  local job = transition.move(row, before, items.close_stream(before, after))
  deaths.follow_end(job, sample)
  if job.needed then
    local _, more = fan_in.flip_edges(job, bounds.MAX_FLIPS)
    if more then outbox.append('flip', job.id) end
  end
  if job.unique then unique.free_key(job) end
  if job.state ~= 'succeeded' and call('EXISTS', key('living', job.id)) == 1 then
    outbox.append('cancel_children', job.id)
  end
  schedules.follow_end(job.id)
  return jobs.get(job.id)
end
