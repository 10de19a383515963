-- Riffle's side of a workload: riffle worker.lua MODEL WORK [bf16]. Warms up and prints "ready"; then makes as
-- many steps as each line of its input says, and prints "done".
local riffle = require "riffle"
local nn, flow, optim = riffle.nn, riffle.flow, riffle.optim
local model, work, precision = arg[1], arg[2], arg[3] or "float32"
riffle.seed(0)

local function unet(channels, multipliers)
  return nn.unet { image = { 32, 32, 3 }, channels = channels, multipliers = multipliers, blocks = 2, attention = { 16 }, precision = precision }
end
local models = {
  mlp = { function() return nn.mlp { dim = 2, width = 256, frequency = 1000, precision = precision } end, 256, { 2 } },
  ["mlp-wide"] = { function() return nn.mlp { dim = 2, width = 512, frequency = 1000, precision = precision } end, 4096, { 2 } },
  unet = { function() return unet(64, { 1, 2, 2 }) end, 16, { 32, 32, 3 } },
  ["unet-cifar"] = { function() return unet(128, { 1, 2, 2, 2 }) end, 8, { 32, 32, 3 } },
  dit = { function() return nn.dit { image = { 32, 32, 3 }, depth = 6, precision = precision } end, 16, { 32, 32, 3 } },
  ["dit-s"] = { function() return nn.dit { image = { 32, 32, 3 }, precision = precision } end, 8, { 32, 32, 3 } },
}
local make, batch, sample = table.unpack(models[model])
local shape = { batch, table.unpack(sample) }

local net = make():two_timed()
local teacher, average = net:copy(true), optim.ema(net, { decay = 0.999 })
local opt = optim.adamw(net, { lr = 1e-4, weight_decay = 0.01, clip = 1.0 })
local x = riffle.randn(shape)

local function update(loss)
  opt:step(loss)
  average:update()
end
local works = {
  sample = function() riffle.no_grad(function() return net(x, riffle.rand(batch), riffle.rand(batch)) end) end,
  flow = function() update(flow.matching_loss(net, x)) end,
  itvm = function()
    update((flow.loss.itvm(net, teacher, x, {
      terminal = "lagged", last_step = "euler", offset = 0.05, initial_fraction = 1, target = average.model,
    })))
  end,
  lfmd = function() update((flow.loss.lfmd(net, teacher, x))) end,
  fgm = function() update((flow.loss.fgm(net, average.model, teacher, riffle.randn(shape)))) end,
}
local step = works[work]
for _ = 1, 3 do step() end
print("ready")
io.stdout:flush()
for line in io.lines() do
  for _ = 1, tonumber(line) do step() end
  print("done")
  io.stdout:flush()
end
