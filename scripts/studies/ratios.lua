-- Compares members of the union's study with one of them: riffle ratios.lua FILE.csv MEMBER. For each other member and
-- each measure at 1, 2 and 4 evaluations: the sets in which its mean over seeds is less, and the geometric mean over sets
-- of its mean as a part of MEMBER's. Seeds count that have both.
local base = arg[2] or error("usage: riffle ratios.lua FILE.csv MEMBER", 0)
local values, members, sets = {}, {}, {}
local function slot(t, key, list)
  if not t[key] then
    t[key] = {}
    if list then list[#list + 1] = key end
  end
  return t[key]
end
for line in io.lines(arg[1]) do
  local fields = {}
  for field in (line .. ","):gmatch "([^,]*)," do fields[#fields + 1] = field end
  if fields[1] ~= "errors" then
    local by_set = slot(values, fields[3], members)
    if not sets[fields[1]] then sets[fields[1]], sets[#sets + 1] = true, fields[1] end
    slot(by_set, fields[1])[fields[2]] = { table.unpack(fields, 6, 14) }
  end
end

-- The sums over common seeds of a column, of a member and of the one it is compared with.
local function sums(member, set, column)
  local a, b = 0, 0
  for seed, row in pairs(values[member][set] or {}) do
    local other = (values[base][set] or {})[seed]
    if other then a, b = a + tonumber(row[column]), b + tonumber(other[column]) end
  end
  return a, b
end

print "| | distance at 1 | at 2 | at 4 | KL at 1 | at 2 | at 4 | endpoints at 1 | at 2 | at 4 |"
print("| --- |" .. (" --- |"):rep(9))
for _, member in ipairs(members) do
  if member ~= base then
    local cells = { member }
    for column = 1, 9 do
      local less, count, logs = 0, 0, 0
      for _, set in ipairs(sets) do
        local a, b = sums(member, set, column)
        if b > 0 then less, count, logs = less + (a < b and 1 or 0), count + 1, logs + math.log(a / b) end
      end
      cells[#cells + 1] = ("%d of %d, %.2f"):format(less, count, math.exp(logs / count))
    end
    print("| " .. table.concat(cells, " | ") .. " |")
  end
end
