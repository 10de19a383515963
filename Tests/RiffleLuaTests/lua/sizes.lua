-- Sizes that no tensor can have are errors, wherever they come from.
local riffle = require "riffle"
local m = math.maxinteger
local cases = {
  function() return riffle.one_hot(riffle.randint(2, 3), m) end, function() return riffle.one_hot(riffle.randint(2, 3), 1 << 40) end,
  function() return riffle.put_add(riffle.ones(3), riffle.randint(2, 3), m) end,
  function() return riffle.ones(3):pad(1, m, 1) end, function() return riffle.ones(3):pad(1, 1 << 40, 1 << 40) end,
  function() return riffle.ones(3):split { m, m } end, function() return riffle.ones(3):split { 1 << 40, 1 << 40 } end,
  function() return riffle.ones(3):reshape(-1, 1 << 40, 1 << 40) end,
  function() return riffle.zeros(1 << 40, 1, 0) + riffle.zeros(1, 1 << 40, 0) end,
  function() return riffle.zeros(1 << 31, 0):matmul(riffle.zeros(0, 1 << 31)) end,
  function() return riffle.conv2d_input_grad(riffle.ones(1, 1, 1, 1), riffle.ones(1, 1, 1, 1), m, m) end,
  function() return riffle.conv2d_input_grad(riffle.ones(1, 1, 1, 1), riffle.ones(1, 1, 1, 1), 1 << 31, 1 << 31) end,
  function() return riffle.flow.times(m) end, function() return riffle.flow.times(1 << 40) end,
  function() local t = {} for i = 1, 70 do t[i] = 1 end return riffle.nn.unet { image = { 32, 32, 3 }, multipliers = t } end,
  function() return riffle.arange(0, 9e14) end, function() return riffle.eye(100000) end, function() return riffle.linspace(0, 1, 1000000000) end,
  function() local a = riffle.ones(2, 2, 2, 2, 2, 2, 2, 2) local b = a:take(riffle.ones(2, 2, 2, 2, 2, 2, 2, 2):to "int32") return b end,
  function() return riffle.rand(3, { dtype = "int32" }) end, function() return riffle.zeros(1e6, 1e6) end,
  function() return riffle.repeat_(riffle.ones(2, 2), 1 << 40, 1 << 40) end, function() return riffle.ones(2):expand(1 << 62, 2) end,
  function() return riffle.upsample(riffle.ones(1, 1 << 20, 1, 1), 64):upsample(64):upsample(64) end,
}
riffle.memory.limit(1 << 31)
for i, case in ipairs(cases) do
  local ok, message = pcall(case)
  assert(not ok and message:find("^sizes.lua:%d+: "), ("case %d: %s"):format(i, message))
end
riffle.memory.limit(0)

-- Whole numbers stay whole.
local index = riffle.tensor({ 1, 2, 3 }, "int32")
assert((index + 1):dtype() == "int32" and (-index * 2):tolist()[3] == -6 and (index / 2):dtype() == "float32")
assert(riffle.ones(3):take(index):shape()[1] == 3)
for _, sum in ipairs { function(x) return x:sum() end, function(x) return x:sum_to { 1 } end } do
  local ok, message = pcall(sum, riffle.ones(70000):to "int32" * 70000)
  assert(not ok and message:find("the sum 4900000000.0 is no int32", 1, true), message)
end
assert(riffle.ones({ 2, 3 }, "int32"):sum(1):sum():item() == 6)

-- Steps of 1 that never arrive.
for _, ends in ipairs { { 1, -1e308 }, { 3.4e38, 1 } } do
  local ok, message = pcall(riffle.arange, ends[1], ends[2])
  assert(not ok and message:find("arange"), message)
end

-- The spread of one number is not known.
assert(riffle.ones(1):var():isnan():item() == 1)
