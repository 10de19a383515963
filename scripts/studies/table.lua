-- Makes Markdown tables out of a study's rows:
-- riffle table.lua students|union|generators|checkerboard|images FILE.csv ...
-- Each cell is the mean over seeds, with the deviation where there is more than one; in a column the best of the rows
-- that compete is bold, and the last column counts the columns in which a row is the best.
local sizes = { 1, 2, 4 }

-- A table that is being filled: rows and columns in the order of their first use, lists of numbers in
-- cells[row][column].
local function new_table(title, factor) return { title = title, factor = factor, rows = {}, columns = {}, cells = {} } end

local function add(t, row, column, text)
  if not t.cells[row] then
    t.cells[row] = {}
    t.rows[#t.rows + 1] = row
  end
  if not t.columns[column] then
    t.columns[column] = true
    t.columns[#t.columns + 1] = column
  end
  t.cells[row][column] = t.cells[row][column] or {}
  table.insert(t.cells[row][column], t.factor * tonumber(text))
end

local function statistics(values)
  local sum, squares = 0, 0
  for _, value in ipairs(values) do sum, squares = sum + value, squares + value * value end
  local mean = sum / #values
  return mean, #values > 1 and math.sqrt(math.max(0, (squares - #values * mean * mean) / (#values - 1)))
end

local function competes(row) return not (row:find "^teacher" or row:find "^published") or row:find "50 Euler" ~= nil end

local function best_of(t, column)
  local best = math.huge
  for _, row in ipairs(t.rows) do
    local values = competes(row) and t.cells[row][column]
    if values then best = math.min(best, (statistics(values))) end
  end
  return best
end

-- The text of a cell.
local function described(values, is_best)
  local mean, deviation = statistics(values)
  local form = mean < 9.95 and "%.2f" or mean < 99.5 and "%.1f" or "%.0f"
  local text = form:format(mean)
  return (is_best and "**" .. text .. "**" or text) .. (deviation and (" ± " .. form:format(deviation)) or "")
end

-- Columns that are numbers stand in their order.
local function show(t)
  local are_numbers = true
  for _, column in ipairs(t.columns) do are_numbers = are_numbers and tonumber(column) ~= nil end
  if are_numbers then table.sort(t.columns, function(a, b) return tonumber(a) < tonumber(b) end) end
  print(("\n%s%s:\n"):format(t.title, t.factor == 1 and "" or (", times %d"):format(t.factor)))
  print("| | " .. table.concat(t.columns, " | ") .. " | best in |")
  print("| --- |" .. (" --- |"):rep(#t.columns + 1))
  for _, row in ipairs(t.rows) do
    local line, leads = { row }, 0
    for _, column in ipairs(t.columns) do
      local values = t.cells[row][column]
      local is_best = values and competes(row) and statistics(values) == best_of(t, column)
      if is_best then leads = leads + 1 end
      line[#line + 1] = values and described(values, is_best) or ""
    end
    line[#line + 1] = competes(row) and tostring(leads) or ""
    print("| " .. table.concat(line, " | ") .. " |")
  end
end

-- For each kind of study, a function that adds a row of its file to tables; `to(title, factor)` is the table of a
-- title.
local studies = {
  students = function(to, set, seed, member, _, steps, ...)
    local values = { ... }
    local row = member:gsub(";", ","):gsub("x%d+$", "") .. ", " .. steps .. " steps"
    if not competes(row) then row = member:gsub(";", ",") end
    for i, measure in ipairs { "Sliced Wasserstein distance to the data", "KL", "Squared distance to the teacher's endpoints" } do
      for n, size in ipairs(sizes) do
        add(to(("%s, %d evaluation%s"):format(measure, size, size == 1 and "" or "s"), 1000), row, set, values[4 * (i - 1) + n])
      end
    end
  end,
  union = function(to, set, seed, member, _, steps, ...)
    local values, row = { ... }, member:gsub(";", ",")
    for i, measure in ipairs { "Sliced Wasserstein distance to the data", "KL", "Squared distance to the teacher's endpoints" } do
      for n, size in ipairs(sizes) do
        local title = ("%s, %d evaluation%s"):format(measure, size, size == 1 and "" or "s")
        if values[3 * (i - 1) + n] ~= "" then add(to(title, 1000), row, set, values[3 * (i - 1) + n]) end
      end
    end
    -- The part that is missing, so that the least is the best here too.
    for n, size in ipairs(sizes) do
      local title = ("Cells that are not reached, %d evaluation%s"):format(size, size == 1 and "" or "s")
      if values[9 + n] ~= "" then add(to(title, 1000), row, set, 1 - values[9 + n]) end
    end
  end,
  generators = function(to, set, seed, steps, online_steps, rate, ...)
    local values, rows = { ... }, { "teacher, 50 Euler steps", "teacher, 1 step", "generator, 1 evaluation" }
    for i, measure in ipairs { "Sliced Wasserstein distance to the data", "KL" } do
      for n, row in ipairs(rows) do add(to(measure, 1000), row, set, values[3 * (i - 1) + n]) end
    end
  end,
  checkerboard = function(to, method, seed, steps, minutes, ...)
    for n, value in ipairs { ... } do
      add(to("KL on the checkerboard", 1000), ("%s, %d steps"):format(method, steps), tostring(1 << (n - 1)), value)
    end
  end,
  images = function(to, model, sampler, evaluations, _, frechet, perceptual)
    if model == "model" then return end
    add(to("Frechet distance in a classifier's features", 1), model .. ", " .. sampler, evaluations, frechet)
    add(to("Perceptual distance to the teacher's samples", 1), model .. ", " .. sampler, evaluations, perceptual)
  end,
}

-- The fields of a line of CSV; those in quotes may have commas.
local function fields_of(line)
  local fields, rest = {}, line:gsub("\r$", "") .. ","
  while rest ~= "" do
    local quoted, after = rest:match '^"([^"]*)",(.*)$'
    local plain, behind = rest:match "^([^,]*),(.*)$"
    fields[#fields + 1], rest = quoted or plain, after or behind
  end
  return fields
end

local study = studies[arg[1]] or error("the first argument must be students, union, generators, checkerboard or images", 0)
local tables = {}
local function to(title, factor)
  if not tables[title] then
    tables[title] = new_table(title, factor)
    tables[#tables + 1] = tables[title]
  end
  return tables[title]
end
for i = 2, #arg do
  for line in io.lines(arg[i]) do study(to, table.unpack(fields_of(line))) end
end
for _, t in ipairs(tables) do show(t) end
