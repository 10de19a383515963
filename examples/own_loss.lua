-- Trains a student by a loss of your own, written in Lua, which matches the teacher's flow by a consistency of halves
-- (PSD-M). Takes about a minute on two cores; every step of the loss is an ordinary tensor operation. Try --steps 500.
local riffle = require "riffle"
local nn, flow, optim, data, metrics = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics

local steps = riffle.args { steps = { 2500, help = "of each training" } }.steps
riffle.seed(1)
local moons = data.moons()

-- Flow matching trains the teacher.
local net = nn.mlp { width = 128 }
local teacher = optim.ema(net, { decay = 0.999 })
local opt = optim.adamw(net, { lr = 2e-3, clip = 1.0 })
for step in riffle.progress(steps, "teacher") do
  opt.lr = optim.cosine(step, { peak = 2e-3, warmup = 100, total = steps })
  opt:step(flow.matching_loss(net, moons:sample(512)))
  teacher:update()
end

-- A jump from s to t should equal the two jumps over its halves; where s = t, the student should equal the teacher.
local function halves(student, target, x1)
  local n = #x1
  local a, b = riffle.rand(n), riffle.rand(n)
  local s, t = riffle.minimum(a, b), riffle.maximum(a, b)
  local m = (s + t) / 2
  local x = (1 - s:unsqueeze(2)) * riffle.randn(n, 2) + s:unsqueeze(2) * x1

  local wanted = riffle.no_grad(function()
    local first = target(x, s, m)
    local middle = x + (m - s):unsqueeze(2) * first
    return (first + target(middle, m, t)) / 2
  end)
  local velocity = riffle.no_grad(function() return teacher.model(x, s) end)
  local jump = (student(x, s, t) - wanted):square():mean()
  local start = (student(x, s, s) - velocity):square():mean()
  return jump + start, { jump = jump:item(), start = start:item() }
end

local student = teacher.model:two_timed()
local target = optim.ema(student, { decay = 0.99 })
local average = optim.ema(student, { decay = 0.999 })
local o = optim.adamw(student, { lr = 1e-3, clip = 1.0 })
for step in riffle.progress(steps, "student") do
  o.lr = optim.cosine(step, { peak = 1e-3, warmup = 100, total = steps })
  o:step(halves(student, target.model, moons:sample(512)))
  target:update()
  average:update()
end

local noise, truth = riffle.randn(20000, 2), moons:sample(20000)
print("sliced Wasserstein to the data")
print(("  teacher, 100 evaluations  %.4f"):format(metrics.sliced_wasserstein(flow.ode(teacher.model, noise, { steps = 50 }), truth)))
for _, nfe in ipairs { 1, 2, 4 } do
  local x = flow.jump(average.model, noise, { steps = nfe })
  print(("  student, %d evaluations    %.4f"):format(nfe, metrics.sliced_wasserstein(x, truth)))
end
