-- put_prices: store prices by model, category and instant, and let jobs go that are held for a price.
-- flags: allow-oom
-- args: prices (each {model, category, from_ms, usd_micros_per_million}), absent_only
-- spec: USAGE-7, HOLD-8
local left_alone = {}
for _, row in ipairs(args.prices) do
  local model = row[1]
  if left_alone[model] == nil then left_alone[model] = args.absent_only and #books.prices(model) > 0 end
  if not left_alone[model] then
    rows.put('prices', model, prices.with(books.prices(model), {row[2], row[3], row[4]}))
    step.room('price', model)
  end
end
