-- The checkerboard of Boffi, Albergo and Vanden-Eijnden (2505.18825, table 1): riffle checkerboard.lua METHOD SEED
-- STEPS, with METHOD one of lsd, psd, psd_uniform and itvm. Network (four hidden layers of 512), times, parts of the
-- batch and measure (KL on 50 x 50 bins of 64,000 samples) are those of the paper; the batch is 1024 where the paper
-- has 100,000, and the steps are STEPS where the paper has 150,000. ITVM first trains its teacher for half of STEPS, on
-- whole batches. Prints method, seed, steps, minutes of processor time, and KL at 1, 2, 4, 8 and 16 evaluations.
local riffle = require "riffle"
local nn, flow, optim, data, metrics = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics

local method, seed, steps = arg[1], math.tointeger(arg[2]), math.tointeger(arg[3])
local set, batch, peak = data.checkerboard(), 1024, 1e-3
riffle.seed(seed)

-- Trains a network with a loss and returns the network's average.
local function trained(net, count, decay, loss)
  local average, target = optim.ema(net, { decay = 0.999 }), decay and optim.ema(net, { decay = decay })
  local opt = optim.adamw(net, { lr = peak, clip = 10 })
  for step = 1, count do
    opt.lr = optim.cosine(step, { peak = peak, warmup = 100, total = count })
    opt:step(loss(net, set:sample(batch), target and target.model))
    average:update()
    if target then target:update() end
  end
  return average.model
end

local start, student = os.clock(), nil
local net = nn.mlp { dim = 2, width = 512 }
if method == "itvm" then
  local teacher = trained(net, steps // 2, nil, flow.matching_loss)
  student = trained(teacher:two_timed(), steps // 2, 0.99, function(net, x, target)
    return flow.loss.itvm(net, teacher, x, { target = target })
  end)
else
  local options = method == "psd_uniform" and { cut = "uniform" } or {}
  local loss = flow.loss[method:match("^%a+")]
  student = trained(net:two_timed(), steps, nil, function(net, x) return loss(net, nil, x, options) end)
end

local row = { method, seed, steps, ("%.1f"):format((os.clock() - start) / 60) }
local noise = riffle.randn(64000, 2)
for _, nfe in ipairs { 1, 2, 4, 8, 16 } do
  row[#row + 1] = ("%.4f"):format(metrics.histogram_kl(flow.jump(student, noise, { steps = nfe }), set))
end
print(table.concat(row, ","))
