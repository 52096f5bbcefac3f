-- retire: (first cut)
function retire.require_open() end
