-- pausing: (first cut)
function pausing.call_up() end
