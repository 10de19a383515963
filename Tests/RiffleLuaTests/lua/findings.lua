-- Mistakes that were easy to make in the library: each was wrong, or ended the process.
local riffle = require "riffle"
local nn, optim = riffle.nn, riffle.optim
local function list(x) return table.concat(x:reshape(-1):tolist(), " ") end

-- A broadcast input lives until the kernel has read it.
for _ = 1, 200 do
  assert(list(riffle.where(riffle.tensor { 1, 0, 1 }, 7, 8)) == "7.0 8.0 7.0")
  assert(list(riffle.where(riffle.ones(1, 3), 1, 0)) == "1.0 1.0 1.0")
end

-- Whole numbers may stand beside parameters, forward and backward.
local p = riffle.parameter(riffle.tensor { 6, 8 })
;(p / riffle.tensor({ 3, 2 }, "int32")):sum():backward()
assert((p.grad - riffle.tensor { 1 / 3, 1 / 2 }):abs():max():item() < 1e-6)

-- A gradient of another type is converted; a parameter that stands twice moves once.
p.grad = riffle.tensor({ 1, 2 }, "float64")
optim.sgd({ p, p }, { lr = 1 }):step()
assert(list(p) == "5.0 6.0")
local shared = nn.linear(2, 2)
assert(nn.sequential { shared, shared }:count() == 6)

-- Parameters that are frozen when the optimizer is made move once they are thawed.
local w = riffle.parameter(riffle.ones(1))
p.trainable = false
local opt = optim.sgd({ p, w }, { lr = 1 })
p.trainable = true
opt:step((p + w):sum())
assert(list(p) == "4.0 5.0")

-- A spread of one number is not known.
assert(riffle.ones(1):var():isnan():item() == 1)

-- A layer takes one sample without a batch, and gives its gradient.
local layers = nn.sequential { nn.linear(2, 8), nn.activation "silu", nn.linear(8, 1) }
layers(riffle.randn(2)):sum():backward()
assert(layers:parameters()["0.weight"].grad:shape()[1] == 8)

-- Modes do not outlive a coroutine that leaves them halfway: yielding there is an error.
local co = coroutine.create(function() riffle.no_grad(function() coroutine.yield() end) end)
local ok, message = coroutine.resume(co)
assert(not ok and message:find("yield"), message)
assert((p * 2):sum():backward() == nil)

-- A gradient inside jvp would lose its tangent.
ok, message = pcall(riffle.jvp, function(x) return riffle.grad((x * x):sum(), { x }, { recording = true })[1] end, p, riffle.ones(2))
assert(not ok and message:find("inside jvp"), message)

ok, message = pcall(riffle.jvp, riffle.ones(1), riffle.ones(1), riffle.ones(1))
assert(not ok and message:find("must be a function"), message)
for _, ends in ipairs { { 1, -1e308 }, { 3.4e38, 1 } } do
  ok, message = pcall(riffle.arange, ends[1], ends[2])
  assert(not ok and message:find("arange"), message)
end
ok, message = pcall(riffle.data.cifar10, "x")
assert(not ok and message:find("'x'"), message)
