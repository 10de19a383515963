-- Networks in Lua that Swift calls, and errors that travel through both.
local riffle = require "riffle"
local fails = require "shared.fails"
local nn, flow = riffle.nn, riffle.flow

local function scaled(scale)
  return nn.module {
    blocks = { nn.linear(2, 2), nn.linear(2, 2) },
    gain = riffle.parameter(riffle.ones(2)),
    scale = scale,
    twice = function(self, x) return x * self.scale end,
    forward = function(self, x, t)
      for _, block in ipairs(self.blocks) do x = block(x) end
      return self:twice(x) * self.gain
    end,
  }
end

riffle.seed(1)
local net = scaled(2)
assert(net:count() == 14 and net.scale == 2 and #net.blocks == 2 and net.blocks[2] == net.blocks[2])
local names = net:parameters()
assert(names["blocks.1.weight"] and names["blocks.2.bias"] and names["gain"] == net.gain)
local x, t = riffle.randn(3, 2), riffle.zeros(3)
local y = net(x, t)

-- A copy has parts of its own and shares the rest.
local copy = net:copy()
assert(copy.blocks[1] ~= net.blocks[1] and copy.scale == 2)
net.gain:assign(riffle.zeros(2))
assert((copy(x, t) - y):abs():max():item() == 0 and net(x, t):abs():max():item() == 0)

-- Swift calls it, and an error inside is the same object outside.
local mark = setmetatable({}, { __tostring = function() return "marked" end })
local failing = nn.module { forward = function() error(mark) end }
local ok, caught = pcall(function() return flow.ode(failing, x, { method = "euler", steps = 1 }) end)
assert(not ok and rawequal(caught, mark))

-- Lua, Swift, Lua, Swift, Lua.
local outer = nn.module {
  forward = function(self, x, t)
    flow.ode(copy, x, { method = "euler", steps = 1 })
    local ok, message = pcall(flow.ode, failing, x, { method = "euler", steps = 1 })
    assert(not ok and message == mark)
    return x
  end,
}
local jumped = flow.ode(outer, x, { method = "euler", steps = 1 })
assert((jumped - 2 * x):abs():max():item() < 1e-5)

-- What forward returns is checked.
local wrong = nn.module { forward = function() return "text" end }
ok, caught = pcall(flow.ode, wrong, x, { method = "euler", steps = 1 })
assert(not ok and caught:find("forward must return a tensor, got 'text'", 1, true), caught)
ok, caught = pcall(nn.module, { count = nn.linear(1, 1), forward = print })
assert(not ok and caught:find("a part cannot be named 'count'", 1, true), caught)
ok, caught = pcall(function() return net.blokcs end)
assert(not ok and caught:find("no method or field 'blokcs'", 1, true), caught)

-- A number, or a tensor of one, is the time of all samples.
do
  local x = riffle.randn(3, 2)
  for _, net in ipairs { nn.mlp { width = 8 }, flow.velocity(nn.mlp { width = 8 }, { prediction = "noise" }), nn.mlp { width = 8 }:two_timed() } do
    local two, half = net:times() == 2, riffle.full({ 3 }, 0.5)
    local want = two and net(x, half, half) or net(x, half)
    for _, t in ipairs { 0.5, riffle.tensor(0.5), riffle.tensor { 0.5 } } do
      local got = two and net(x, t, t) or net(x, t)
      assert((got - want):abs():max():item() == 0)
    end
  end
  local inner = nn.mlp { width = 8 }
  local net = nn.module { inner = inner, forward = function(self, y, t) return self.inner(y, t) end }
  assert((net(x, 1) - inner(x, riffle.ones(3))):abs():max():item() == 0)
  local ok, message = pcall(inner, x, "noon")
  assert(not ok and message:find("mlp: argument 2 must be a tensor or a number, got 'noon'", 1, true), message)
  ok, message = pcall(inner, x, 0.5, 2)
  assert(not ok and message:find("argument 3 must be a tensor, got 2", 1, true), message)
end

-- An error names the path of the layer, however it is reached.
do
  local function where(expected, net, ...)
    local ok, message = pcall(net, ...)
    assert(not ok and message:sub(-#expected) == expected, message)
  end
  local x = riffle.ones(3, 2)
  local body = nn.sequential { nn.linear(2, 4), nn.activation("silu"), nn.sequential { nn.linear(4, 4), nn.linear(5, 4) } }
  where(" in 2.1", body, x)
  local function calls(part) return function(self, y, t) return self[part](y, t) end end
  local net = nn.module { body = body, forward = function(self, y) return self.body(y) end }
  where(" in body.2.1", net, x, 0)
  local block = nn.module { fc = nn.linear(3, 2), forward = function(self, y) return self.fc(y) end }
  local outer = nn.module { blocks = { block, block:copy() }, forward = function(self, y, t) return self.blocks[2](y, t) end }
  where(" in blocks.2.fc", outer, x, 0)
  where(" in blocks.2.fc", function() return flow.matching_loss(outer, x) end)
  where(" in blocks.2.fc", nn.module { net = outer, forward = calls("net") }.net, x, 0)
  where(" in net.blocks.2.fc", nn.module { net = outer, forward = calls("net") }, x, 0)
  where(" in 1.fc", nn.sequential { nn.linear(2, 2), block }, x)
  where(" in parts.sum", nn.module {
    parts = { sum = nn.module { w = riffle.parameter(riffle.ones(5)), forward = function(self, y) return y * self.w end } },
    forward = function(self, y) return (self.parts.sum(y)) end,
  }, x, 0)
  -- A module that is no part of the one that calls it begins a path of its own.
  where(" in fc", nn.module { forward = function(_, y) return block(y) end }, x, 0)
  assert(not select(2, pcall(riffle.matmul, x, x)):find(" in "))
  assert(not tostring(nn.unet { image = { 8, 8, 1 }, channels = 32, multipliers = { 1 }, blocks = 1 }):find(" \n") )
end

-- nan_guard names the operation and its line when a gradient fails.
do
  riffle.nan_guard(true)
  local w = riffle.parameter(riffle.tensor { 0, 4 })
  local opt = riffle.optim.sgd({ w }, { lr = 0.1 })
  local loss = w:sqrt():sum()
  local line = debug.getinfo(1, "l").currentline - 1
  local ok, message = pcall(opt.step, opt, loss)
  riffle.nan_guard(false)
  assert(not ok and message:find("sqrt: in its gradient", 1, true) and message:find("networks.lua:" .. line .. "$"), message)
  local quiet = w:sqrt():sum()
  ok, message = pcall(opt.step, opt, quiet)
  assert(not ok and not message:find("in its gradient", 1, true), message)
end

-- Errors have the whole name of the function that was called.
for _, call in ipairs { "nn.unet { image = { 7, 7, 1 } }", "flow.ode(nn.mlp {}, riffle.zeros(2, 2), { times = { 1, 1 } })" } do
  local ok, message = pcall(load("local riffle, nn, flow = ...; " .. call), riffle, nn, flow)
  assert(not ok and message:find(": riffle." .. call:match("^[%w.]+") .. ": ", 1, true), message)
end

-- Networks in a network are parts of it, and a copy ties what the original ties.
do
  local inner = nn.module { w = riffle.parameter(riffle.ones(2)), forward = function(self, x) return x * self.w end }
  local outer = nn.module {
    b = riffle.parameter(riffle.zeros(2)), inner = inner, forward = function(self, x, t) return self.inner(x) + self.b end,
  }
  local copy = outer:copy()
  copy.inner.w:assign(riffle.zeros(2))
  assert(outer:count() == 4 and outer(riffle.ones(1, 2), riffle.zeros(1)):sum():item() == 2)
  local layer = nn.linear(2, 2)
  local tied = nn.module { a = layer, b = { layer }, forward = function(self, x) return self.b[1](self.a(x)) end }
  assert(tied:copy():count() == 6 and nn.sequential { layer, layer }:count() == 6)
end

-- A network of Lua's own is read into a network; what riffle.nn makes is made from its file.
do
  local path = os.tmpname()
  local net, mine = nn.mlp { width = 8 }, nn.module { a = nn.mlp { width = 8 }, forward = print }
  riffle.checkpoint.save(path, { mine = mine })
  fails("none of its objects says what network it is; make the network in a script", nn.load, path)
  riffle.checkpoint.save(path, { mine = mine, net = net })
  fails("does not say what network its 'mine' is; make the network in a script", nn.load, path, { entry = "mine" })
  mine:load(path, { entry = "mine" })
  local x, t = riffle.randn(3, 2), riffle.zeros(3)
  assert((nn.load(path)(x, t) - net(x, t)):abs():max():item() == 0)
  mine:save(path)
  fails("its module is no network of riffle.nn", nn.load, path)
  os.remove(path)
end

-- What layers and networks cannot be asked or made of.
do
  local x = riffle.randn(3, 2)
  for _, layer in ipairs { nn.linear(2, 3), nn.group_norm(32), nn.embedding(3, 2), nn.dropout(0.1) } do
    fails("one tensor is needed, got 0", layer)
  end
  fails("one tensor is needed, got 2", nn.linear(2, 3), x, x)
  local unet = nn.unet { image = { 8, 8, 3 }, channels = 32, multipliers = { 1 }, blocks = 1, attention = { 8 } }
  fails("x must be [n, height, width, channels]", unet.middle_block["1"], x)
  fails("16, 8], and 9 is none of them", nn.unet, { image = { 16, 16, 3 }, multipliers = { 1, 2 }, attention = { 9 } })
  fails("null_class is one more label", nn.mlp, { null_class = true })
  assert(tostring(nn.mlp { precision = "bf16" }):find "bf16")
end

-- Sizes for height and width, groups, windows; norms keep a file's numbers whatever the mode.
do
  local x = riffle.randn(2, 9, 11, 4)
  local function shape(layer) return table.concat(layer(x):shape(), " ") end
  assert(shape(nn.conv2d(4, 6, { 1, 7 })) == "2 9 11 6")
  assert(shape(nn.conv2d(4, 6, { 3, stride = { 2, 1 } })) == "2 5 11 6")
  assert(shape(nn.conv2d(4, 4, { kernel = 5, padding = { 0, 2 }, groups = 4 })) == "2 5 11 4")
  assert(shape(nn.max_pool(3, { stride = 2, ceil = true })) == "2 4 5 4" and shape(nn.max_pool()) == "2 4 5 4")
  assert(shape(nn.avg_pool({ 1, 3 }, { stride = 1, padding = { 0, 1 }, count_padding = false })) == "2 9 11 4")
  local net = nn.sequential { nn.conv_norm(4, 8, { groups = 2, activation = "relu6" }), nn.max_pool(2) }
  net["0"].bn.running_mean:assign(riffle.randn(8))
  local trained = net(x)
  net:eval()
  assert((net(x) - trained):abs():max():item() == 0 and (net:copy()(x) - trained):abs():max():item() == 0)
  assert(tostring(net["0"]):find "conv_norm 4 %-> 8, kernel 3, 2 groups, relu6", tostring(net["0"]))
  fails("5 channels in and 6 out do not make 2 equal groups", nn.conv2d, 5, 6, { groups = 2 })
  fails("the last dimension is not 3", nn.batch_norm(3), x)
end

-- Values of blocks, and discriminators that look at them.
do
  local net = nn.dit { image = { 8, 8, 3 }, width = 16, depth = 2, heads = 2, classes = 3 }
  local x, labels = riffle.randn(2, 8, 8, 3), riffle.tensor({ 1, 3 }, "int32")
  local first, second = net:features { "blocks.0", "blocks.1" }(x, 0.5, labels)
  assert(table.concat(first:shape(), " ") == "2 4 4 16" and #second == 2)
  local critic = nn.discriminator(net, { at = { "blocks.0", "blocks.1" }, width = 8 })
  assert(table.concat(critic(x, riffle.rand(2), labels):shape(), " ") == "2 32" and critic:count() == 2370)
  local generator = net:copy()
  for _, form in ipairs { "softplus", "hinge" } do
    flow.loss.adversarial(generator, critic, x, { form = form, labels = labels }):backward()
    flow.loss.discriminator(critic, generator, x, x, { form = form, labels = labels, r1 = 1 }):backward()
  end
  assert(not net.blocks["0"].attn.qkv.weight.grad and generator.blocks["0"].attn.qkv.weight.grad)
  fails("this dit has no block 'blocks.7', did you mean 'blocks.", net.features, net, { "blocks.7" })
  fails("does not know the shape of a sample", nn.discriminator, function(x) return x end)
  fails("this network has 3 classes and needs labels", critic, x, 0.5)
  fails("width' must be an integer from 8", nn.discriminator, net, { width = 2 })
  fails("decoupled blocks are 0 to all 2, got 3", net.two_timed, net, { decoupled = 3 })
  fails("decoupled blocks are those of dit and mmdit", nn.mlp().two_timed, nn.mlp(), { decoupled = 1 })
  local student = net:two_timed { decoupled = 1 }
  assert(student:count() == net:count() and student:times() == 2)
end
