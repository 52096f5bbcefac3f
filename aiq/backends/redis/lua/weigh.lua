-- weigh: set the weight of a tenant, per mille of the usual one, from its next job on.
-- flags: allow-oom
-- args: tenant, weight
-- spec: FAIR-5
rows.put('weights', args.tenant, args.weight)
