-- update: edit jobs (T19), all of them or none; what says nothing new changes nothing.
-- args: edits, bytes (how many bytes of payloads and results one answer has room for)
-- returns: for each in the order asked, as far as there is room, the place of its record, or false
-- spec: EDIT-1, EDIT-2, EDIT-3, EDIT-4, EDIT-5, EDIT-6, EDIT-7
local ids, changes = {}, {}
for place, edit in ipairs(args.edits) do ids[place] = edit.job_id end
jobs.fetch(ids)
for _, edit in ipairs(args.edits) do
  local before = jobs.get(edit.job_id)
  local after = before and editing.edited(before, edit, step.now_ms)
  if after then booking.check_at_enqueue(after) end
  local payload = after and edit.content and step.blob(edit.content.payload)
  local other_payload = payload and payload ~= jobs.payload(before.id)
  if after and (other_payload or not rows.same(before, after)) then
    changes[#changes + 1] = {before = before, after = after, payload = other_payload and payload}
  end
end
for _, change in ipairs(changes) do
  if change.payload then jobs.put_payload(change.before.id, change.payload) end
  editing.edit_job(change.before, change.after)
end
return pages.told(ids, args.bytes)
