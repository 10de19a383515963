-- Gradients and modes from the front door.
local riffle = require "riffle"
local fails = require "shared.fails"
local nn = riffle.nn

-- Whole numbers may stand beside parameters, forward and backward.
local p = riffle.parameter(riffle.tensor { 6, 8 })
;(p / riffle.tensor({ 3, 2 }, "int32")):sum():backward()
assert((p.grad - riffle.tensor { 1 / 3, 1 / 2 }):abs():max():item() < 1e-6)

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
fails("inside jvp", function()
  riffle.jvp(function(x) return riffle.grad((x * x):sum(), { x }, { recording = true })[1] end, p, riffle.ones(2))
end)
fails("must be a function", function() riffle.jvp(riffle.ones(1), riffle.ones(1), riffle.ones(1)) end)
