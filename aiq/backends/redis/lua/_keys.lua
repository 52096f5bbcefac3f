-- keys: ordered keys. (first cut: no job is ordered)
function keys.leave_aside() return false end
function keys.keeps_out() return false end
function keys.stand_aside() end
function keys.move() end
