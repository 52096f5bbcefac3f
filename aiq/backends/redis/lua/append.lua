-- append: add items to a job's stream in the name of a run, all or none.
-- args: lease, chunks (each {seq, kind, step, data, the place of its bytes})
-- returns: {last, cancel_requested, late, stream_bytes}
-- spec: STREAM-1, STREAM-2, STREAM-3, STREAM-4, STREAM-10, STREAM-11, STREAM-12, STREAM-13, LEASE-5
local job = holder.owned(args.lease)
local stream = items.of(job.id)
local fence = args.lease.fence
local new = appending.unknown(job.id, stream, fence, args.chunks)
local size = job.stream_bytes or 0
for _, chunk in ipairs(new) do size = size + #step.blob(chunk.data) + bounds.ITEM_OVERHEAD_BYTES end
if size > bounds.MAX_STREAM_BYTES then
  step.refuse('TooLarge', {'stream of job ' .. job.id, size, bounds.MAX_STREAM_BYTES})
end
local last = job.chunks
if #new > 0 then last = appending.add(job, stream, new, size) end
return {
  last = last, cancel_requested = job.cancel_requested_at_ms ~= nil, late = leases.expired(job, step.now_ms),
  stream_bytes = size,
}
