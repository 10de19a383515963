-- Makes Markdown tables out of the rows of students.lua: riffle table.lua FILE.csv ...
-- A table for each measure and number of evaluations, with students down and sets across. Each cell is the mean over seeds, times
-- 1000, with the deviation where there is more than one seed; the best student of a set is bold.
local nfes = { 1, 2, 4 }
local metrics = {
  { "Sliced Wasserstein distance to the data", 5 }, { "Squared distance to the teacher's endpoints", 13 }, { "KL", 9 },
}

local sets, members, cells = {}, {}, {}
local function known(list, name)
  if not list[name] then
    list[name] = true
    list[#list + 1] = name
  end
end
for _, path in ipairs(arg) do
  for line in io.lines(path) do
    local fields = {}
    for field in line:gmatch("[^,]+") do fields[#fields + 1] = field end
    local set, member = fields[1], (fields[3]:gsub(";", ","))
    known(sets, set)
    known(members, member)
    cells[member] = cells[member] or {}
    cells[member][set] = cells[member][set] or {}
    table.insert(cells[member][set], fields)
  end
end

-- Mean and deviation of one column of the rows.
local function statistics(rows, column)
  local sum, squares = 0, 0
  for _, row in ipairs(rows) do
    local value = 1000 * tonumber(row[column])
    sum, squares = sum + value, squares + value * value
  end
  local mean = sum / #rows
  return mean, #rows > 1 and math.sqrt(math.max(0, (squares - #rows * mean * mean) / (#rows - 1)))
end

local function told(rows, column, best)
  local mean, deviation = statistics(rows, column)
  local form = mean < 9.95 and "%.2f" or mean < 99.5 and "%.1f" or "%.0f"
  local text = form:format(mean)
  return (mean == best and "**" .. text .. "**" or text) .. (deviation and (" ± " .. form:format(deviation)) or "")
end

local function is_student(member) return not member:find "^teacher" end

-- The least mean of a set among the students.
local function best_of(set, column)
  local best = math.huge
  for _, member in ipairs(members) do
    local rows = is_student(member) and cells[member][set]
    if rows then best = math.min(best, (statistics(rows, column))) end
  end
  return best
end

for _, metric in ipairs(metrics) do
  for i, nfe in ipairs(nfes) do
    local column = metric[2] + i
    print(("\n%s, %d evaluation%s:\n"):format(metric[1], nfe, nfe == 1 and "" or "s"))
    print("| student | " .. table.concat(sets, " | ") .. " | leads in |")
    print("| --- |" .. (" --- |"):rep(#sets + 1))
    for _, member in ipairs(members) do
      local row, leads = { member }, 0
      for _, set in ipairs(sets) do
        local rows, best = cells[member][set], best_of(set, column)
        if rows and is_student(member) and statistics(rows, column) == best then leads = leads + 1 end
        row[#row + 1] = rows and told(rows, column, is_student(member) and best) or ""
      end
      row[#row + 1] = is_student(member) and tostring(leads) or ""
      print("| " .. table.concat(row, " | ") .. " |")
    end
  end
end

print "\nSteps, and milliseconds of one core a step:\n"
print "| student | steps | ms |\n| --- | --- | --- |"
for _, member in ipairs(members) do
  local all = {}
  for _, rows in pairs(cells[member]) do table.move(rows, 1, #rows, #all + 1, all) end
  if is_student(member) then print(("| %s | %s | %.1f |"):format(member, all[1][5], (statistics(all, 4)) / 1000)) end
end
