-- One-step generators by flow generator matching on a 2-D set: riffle generators.lua SET SEED STEPS ONLINE_STEPS
-- [RATE [L1_WEIGHT]]. Prints a CSV row: the sliced Wasserstein distances to the data of the teacher by 50 Euler steps,
-- of the teacher by one step, and of the generator; then the KL on the histogram of the same three. The teacher is that
-- of students.lua. 6000 steps with 5 online steps each take about four minutes on one core.
local riffle = require "riffle"
local plane = require "plane"
local flow, optim, data, metrics = riffle.flow, riffle.optim, riffle.data, riffle.metrics

local name, seed, steps, online_steps = arg[1], math.tointeger(arg[2]), math.tointeger(arg[3]), math.tointeger(arg[4])
local peak, l1_weight, batch = tonumber(arg[5] or 3e-4), tonumber(arg[6] or 1), 512
local set = data[name]()
local teacher = plane.teacher(name, seed, 20000, 1e-3)

riffle.seed(3000 + seed)
local generator, online = teacher:copy(), teacher:copy()
local average = optim.ema(generator, { decay = 0.999 })
local opts = {}
for _, net in ipairs { generator, online } do opts[#opts + 1] = optim.adamw(net, { lr = peak, beta1 = 0, clip = 1.0 }) end
for step, turn in flow.turns(steps, { "online", online_steps, "generator", 1 }) do
  for _, opt in ipairs(opts) do opt.lr = optim.cosine(step, { peak = peak, warmup = 100, total = steps }) end
  if turn == "online" then
    opts[2]:step(flow.loss.fgm_online(generator, online, riffle.randn(batch, 2)))
  else
    opts[1]:step(flow.loss.fgm(generator, online, teacher, riffle.randn(batch, 2), { l1_weight = l1_weight }))
    average:update()
  end
end

riffle.seed(1000 + seed)
local noise, truth, many = riffle.randn(20000, 2), set:sample(20000), riffle.randn(64000, 2)
local masses = name == "checkerboard" and set or set:sample(4000000)
local samplers = {
  function(x) return flow.ode(teacher, x, { method = "euler", steps = 50 }) end,
  function(x) return flow.generate(teacher, x) end,
  function(x) return flow.generate(average.model, x) end,
}
local row = { name, seed, steps, online_steps, peak }
for _, sample in ipairs(samplers) do row[#row + 1] = ("%.5f"):format(metrics.sliced_wasserstein(sample(noise), truth)) end
for _, sample in ipairs(samplers) do row[#row + 1] = ("%.5f"):format(metrics.histogram_kl(sample(many), masses)) end
print(table.concat(row, ","))
