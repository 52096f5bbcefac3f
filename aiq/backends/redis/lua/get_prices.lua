-- get_prices: read every price of a model, by category and instant.
-- flags: allow-oom,no-writes
-- looks
-- args: model
-- returns: a list of {category, from_ms, usd_micros_per_million}
-- spec: USAGE-7
return books.prices(args.model)
