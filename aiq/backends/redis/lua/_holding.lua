-- holding: (first cut)
function holding.drop() end
function holding.let_go_on_room() end
