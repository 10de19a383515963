-- Shows tensors, gradients and forward derivatives, on which everything else is built.
-- Takes a moment.
local riffle = require "riffle"

-- Tensors hold float32 numbers in a shape, and never change. Dimensions count from 1, from the end with -1, -2, ...
local a = riffle.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
print(a, a:shape(), #a)
print("second row", a[2], "sum of each row", a:sum(2))
print("product", a:matmul(a:transpose()))

-- Operations broadcast, and chain as methods.
local scaled = (a - a:mean(1)) / a:std { dim = 1, keep = true }
print("standardised", scaled)

-- A parameter collects gradients: d/dw of mean((a w - 1)^2).
riffle.seed(1)
local w = riffle.parameter(riffle.randn(3, 1))
local loss = (a:matmul(w) - 1):square():mean()
loss:backward()
print("loss", loss:item(), "gradient", w.grad)

-- Forward mode carries a derivative along: here d/dt of sin(t x), and reverse mode goes through it.
local x = riffle.parameter(riffle.tensor { 0.5, 1.5 })
local y, dy = riffle.jvp(function(t) return (t * x):sin() end, riffle.tensor { 2 }, riffle.tensor { 1 })
print("sin(2 x)", y, "d/dt", dy)
dy:sum():backward()
print("d/dx of d/dt", x.grad)
