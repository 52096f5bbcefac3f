-- texts: what sentences are made of.

-- A text as Python shows it in a sentence.
function texts.quoted(text)
  local mark = text:find("'", 1, true) and not text:find('"', 1, true) and '"' or "'"
  local shown = text:gsub('[\\' .. mark .. ']', '\\%0')
  return mark .. shown .. mark
end
