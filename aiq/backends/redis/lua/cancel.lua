-- cancel: end jobs from outside, each by itself.
-- flags: allow-oom
-- args: ids (strings), force (boolean)
-- returns: for each its state, or false where no such job is stored
-- spec: CANCEL-1, CANCEL-2, CANCEL-6, CANCEL-7
jobs.fetch(args.ids)
local answers = {}
for place, id in ipairs(args.ids) do
  local job = jobs.get(id)
  answers[place] = job and cancelling.cancel_job(job, args.force).state or false
end
return answers
