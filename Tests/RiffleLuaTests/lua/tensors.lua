-- Rows, masks, sorting and printing through the front door.
local riffle = require "riffle"
local fails = require "shared.fails"

local function lists(wanted, x) assert(tostring(x:tolist()) == wanted, ("wanted: %s\ngot: %s"):format(wanted, tostring(x:tolist()))) end

local x = riffle.tensor { { 5, 6 }, { 7, 8 }, { 1, 2 } }

-- Loops over rows end; an index behind the last row is an error all the same.
for _, each in ipairs { x, riffle.parameter(x) } do
  local count = 0
  for i, row in ipairs(each) do
    count = i
    assert(row[1]:item() == x[i][1]:item())
  end
  assert(count == 3)
end
for _ in ipairs(riffle.zeros(0, 2)) do error("there is no row") end
fails("index 4 is not in 1 to 3", function() return x[4] end)
fails("index 4 is not in 1 to 3", function() return x[#x + 1] end)

-- An index is a number, int32 numbers of rows, or a mask of floats; nothing is taken for another.
lists("[6.0, 7.0, 8.0]", x[x:gt(5)])
lists("[[7.0, 8.0]]", x[riffle.tensor { 0, 1, 0 }])
lists("[[1.0, 2.0], [5.0, 6.0]]", x[riffle.tensor({ 3, 1 }, "int32")])
lists("[[1.0, 2.0]]", x[riffle.tensor({ 4, 5, 6 }, "int32"):eq(6)])
assert(x[x:gt(100)]:shape()[1] == 0)
fails("a mask holds 0 and 1 alone", function() return x[riffle.tensor { 3, 1, 2 }] end)
fails("the mask needs the sizes of x's first dimensions (x [3, 2], mask [2])", function() return x[riffle.ones(2)] end)
fails("a mask of 0 and 1 is of floats", function() return x[riffle.tensor({ 0, 1, 0 }, "int32")] end)
fails("a list is no index", function() return x[{ 1, 3 }] end)
fails("a tensor cannot be indexed with true", function() return x[true] end)
local w = riffle.parameter(x)
w[w:gt(5)]:sum():backward()
lists("[[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]", w.grad)
assert(riffle.tensor({ 1, 2 }, "int32"):eq(2):dtype() == "float32")

-- PyTorch's order: NaN is larger than all numbers, equal ones keep their order.
local nan = 0 / 0
local mixed = riffle.tensor { 1, nan, 3, -math.huge, 2, 1 }
lists("[4, 1, 6, 5, 3, 2]", (select(2, mixed:sort())))
lists("[2, 3, 5, 1, 6, 4]", (select(2, mixed:sort { descending = true })))
lists("[2, 3, 5]", (select(2, mixed:topk(3))))
lists("[4, 1, 6]", (select(2, mixed:topk(3, { largest = false }))))
local values, order = x:sort { dim = 1, descending = true }
lists("[[7.0, 8.0], [5.0, 6.0], [1.0, 2.0]]", values)
lists("[[2, 2], [1, 1], [3, 3]]", order)
lists("[[5.5, 7.5, 1.5], [5.25, 7.25, 1.25]]", x:quantile({ 0.5, 0.25 }, 2))
assert(mixed:quantile(0.5):isnan():item() == 1 and riffle.tensor({ 1, math.huge }):quantile(1):item() == math.huge)
lists("[[1, 1], [1, 2], [2, 1], [2, 2], [3, 1], [3, 2]]", x:nonzero())
assert(#riffle.ones(3):split(3) == 1 and #riffle.zeros(0):split(3) == 1)

-- A tensor of any form fits a screen.
for _, shape in ipairs { { 4, 32, 32, 3 }, { 64, 64 }, { 9, 9, 9, 9, 9 }, { 2, 3, 4 } } do
  local _, lines = tostring(riffle.zeros(shape)):gsub("\n", "\n")
  assert(lines <= 120, lines)
end

-- Powers of large, small and no numbers stay within the range of numbers.
for _, p in ipairs { 2, 3.5, 100 } do
  local size = 2 ^ (1 / p)
  for _, number in ipairs { 3e30, 3e-30 } do
    local pair = riffle.parameter(riffle.tensor { number, -number })
    local length = pair:norm(p)
    assert(math.abs(length:item() / (number * size) - 1) < 1e-5, tostring(length))
    length:backward()
    local slope = size / 2
    assert((pair.grad - riffle.tensor { slope, -slope }):abs():max():item() < 1e-5)
  end
  lists("0.0", riffle.zeros(0):norm(p))
  lists("[0.0, 0.0]", riffle.zeros(2, 0):norm { p = p, dim = 2 })
  assert(riffle.tensor({ 1, math.huge }):norm(p):item() == math.huge)
end
