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

-- Networks in a network are parts of it, and a copy ties what the original ties.
do
  local nn = riffle.nn
  local inner = nn.module { w = riffle.parameter(riffle.ones(2)), forward = function(self, x) return x * self.w end }
  local outer = nn.module { b = riffle.parameter(riffle.zeros(2)), inner = inner, forward = function(self, x, t) return self.inner(x) + self.b end }
  local copy = outer:copy()
  copy.inner.w:assign(riffle.zeros(2))
  assert(outer:count() == 4 and outer(riffle.ones(1, 2), riffle.zeros(1)):sum():item() == 2)
  local layer = nn.linear(2, 2)
  assert(nn.module { a = layer, b = { layer }, forward = function(self, x) return self.b[1](self.a(x)) end }:copy():count() == 6)
end

local function fails(expected, fn, ...)
  local ok, message = pcall(fn, ...)
  assert(not ok and message:find(expected, 1, true), ("wanted: %s\ngot: %s"):format(expected, message))
end
do
  local nn, flow, optim, net = riffle.nn, riffle.flow, riffle.optim, riffle.nn.mlp { width = 8 }
  local x = riffle.randn(3, 2)
  for _, layer in ipairs { nn.linear(2, 3), nn.group_norm(32), nn.embedding(3, 2), nn.dropout(0.1) } do fails("one tensor is needed, got 0", layer) end
  fails("one tensor is needed, got 2", nn.linear(2, 3), x, x)
  fails("the sum 4900000000.0 is no int32", function() return (riffle.ones(70000):to "int32" * 70000):sum() end)
  fails("the sum 4900000000.0 is no int32", function() return (riffle.ones(70000):to "int32" * 70000):sum_to { 1 } end)
  assert(riffle.ones({ 2, 3 }, "int32"):sum(1):sum():item() == 6)
  fails("true samples [2, 2] holds numbers that are NaN", riffle.metrics.histogram_kl, x, riffle.tensor { { 0 / 0, 1 }, { 1, 2 } })
  fails("x must be [n, height, width, channels]", nn.unet { image = { 8, 8, 3 }, channels = 32, multipliers = { 1 }, blocks = 1, attention = { 8 } }.middle_block["1"], x)
  fails("16, 8], and 9 is none of them", nn.unet, { image = { 16, 16, 3 }, multipliers = { 1, 2 }, attention = { 9 } })
  fails("names and metadata of tensors are UTF-8", riffle.data.save, "x.safetensors", { ["\xff"] = x })
  fails("a single number, the tensor is [3, 2]", function() optim.adamw(net):step(net(x, riffle.zeros(3))) end)
  fails("riffle.optim.adamw: argument 1 'what' must be a module, a parameter, or a list of them, got 3", optim.adamw, 3)
  fails("x:lt(y)", function() return x < 1 end)
  fails("null_class is one more label", nn.mlp, { null_class = true })
  fails("label_dropout drops labels, and none were given", flow.matching_loss, net, x, { label_dropout = 0.5 })
  fails("noise is paired with x already", flow.matching_loss, net, x, { noise = x, coupling = "optimal" })
  fails("unknown option 'coupling'", flow.loss.fgm_online, net, net, x, { coupling = "optimal" })
  fails("option 'huber' must be a number from 1e-12", flow.matching_loss, net, x, { huber = 1e-30 })
  fails("is of floats", flow.matching_loss, function(x) return x:to "int32" end, x)
  local freed = riffle.ones(2)
  freed:free()
  fails("a tensor is needed, got a tensor that was freed", tostring, freed)
  assert(tostring(nn.mlp { precision = "bf16" }):find "bf16")
  local average, prefix = optim.power_ema(net), os.tmpname()
  average:update()
  local files = average:snapshot(prefix)
  fails("two snapshots or more are needed", optim.reconstruct_ema, net, { snapshots = { files[1], files[1] }, length = 0.07 })
  for _, file in ipairs { prefix, table.unpack(files) } do os.remove(file) end
end
