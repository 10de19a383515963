-- riffle.progress passes on what it goes through.
local riffle = require "riffle"
local fails = require "shared.fails"

local sum = 0
for step in riffle.progress(4, "count") do sum = sum + step end
assert(sum == 10)
for _ in riffle.progress(0) do error("nothing to do") end

local items = {}
for i, item in riffle.progress { "a", "b" } do items[i] = item end
assert(items[1] == "a" and items[2] == "b")

local function upto(n)
  local i = 0
  return function()
    i = i + 1
    if i <= n then return i, i * i end
  end
end
local last
for _, square in riffle.progress(upto(3), "function") do last = square end
assert(last == 9)

for step in riffle.progress(10) do
  if step == 2 then break end
end
fails("inside", function()
  for _ in riffle.progress(10) do error("inside") end
end)
assert(not pcall(riffle.progress, "x"))
assert(not pcall(riffle.progress, 3, 4))

-- A tensor's rows.
local rows = 0
for i, row in riffle.progress(riffle.ones(3, 2)) do
  assert(i == rows + 1 and row:sum():item() == 2)
  rows = i
end
assert(rows == 3)
