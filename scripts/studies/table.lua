-- Makes Markdown tables out of the rows of students.lua: riffle table.lua FILE.csv ...
-- Each cell is the mean over seeds, times 1000, with the deviation where there is more than one seed.
local nfes = { 1, 2, 4, 8 }
local metrics = { { "sliced Wasserstein", 5 }, { "KL", 9 }, { "squared distance to the teacher's endpoints", 13 } }

local sets, order, known = {}, {}, {}
for _, path in ipairs(arg) do
  for line in io.lines(path) do
    local fields = {}
    for field in line:gmatch("[^,]+") do fields[#fields + 1] = field end
    local set, member = fields[1], (fields[3]:gsub(";", ","))
    if not sets[set] then
      sets[set] = {}
      order[#order + 1] = set
    end
    if not known[member] then
      known[member] = true
      known[#known + 1] = member
    end
    local rows = sets[set]
    rows[member] = rows[member] or {}
    table.insert(rows[member], fields)
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

local function cell(rows, column)
  local mean, deviation = statistics(rows, column)
  local form = mean < 9.95 and "%.2f" or mean < 99.5 and "%.1f" or "%.0f"
  return form:format(mean) .. (deviation and (" ± " .. form:format(deviation)) or "")
end

for _, set in ipairs(order) do
  for _, metric in ipairs(metrics) do
    if metric[1] ~= "KL" or set == "checkerboard" then
      print(("\n%s, %s x 1000:\n"):format(set, metric[1]))
      print("| student | 1 | 2 | 4 | 8 | steps | ms a step |")
      print("| --- | --- | --- | --- | --- | --- | --- |")
      for _, member in ipairs(known) do
        local rows = sets[set][member]
        if rows then
          local cells = { member }
          for i in ipairs(nfes) do cells[#cells + 1] = cell(rows, metric[2] + i) end
          local milliseconds, steps = 0, 0
          for _, row in ipairs(rows) do
            milliseconds, steps = milliseconds + tonumber(row[4]) / #rows, steps + tonumber(row[5]) / #rows
          end
          cells[#cells + 1] = ("%.0f"):format(steps)
          cells[#cells + 1] = milliseconds > 0 and ("%.1f"):format(milliseconds) or ""
          print("| " .. table.concat(cells, " | ") .. " |")
        end
      end
    end
  end
end
