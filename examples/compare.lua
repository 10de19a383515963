-- Compares all losses for students: trains one teacher and a student by each loss, with the same number of steps, and
-- prints a table by number of evaluations (NFE). riffle compare.lua [--set moons] [--methods itvm,lfmd]. All
-- methods take four to seven minutes on two cores, each half a minute or less. Draws compare.png.
local riffle = require "riffle"
local nn, flow, optim, data, metrics, plot = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics, riffle.plot
local loss, batch = flow.loss, 512

-- The loss of each method, a function of student u, teacher v, data x, the target, and the part of training that is
-- done, in [0, 1]. Self-distillation (lsd, esd, psd, tvm) starts as the teacher and goes on from data. Consistency
-- models have their own sampler.
local consistency = flow.consistency
local methods = {
  { "lfmd", function(u, v, x) return loss.lfmd(u, v, x) end },
  { "itvm", function(u, v, x, target) return loss.itvm(u, v, x, { target = target }) end },
  { "efmd", function(u, v, x) return loss.efmd(u, v, x) end },
  { "pfmm", function(u, v, x) return loss.pfmm(u, v, x, { steps = 4 }) end },
  { "shortcut", function(u, v, x, target) return loss.shortcut(u, v, x, { target = target, bootstrap = 0.5 }) end },
  { "lsd", function(u, _, x) return loss.lsd(u, nil, x) end },
  { "esd", function(u, _, x) return loss.esd(u, nil, x) end },
  { "psd", function(u, _, x) return loss.psd(u, nil, x) end },
  { "meanflow", function(u, v, x) return loss.meanflow(u, v, x) end },
  { "imf", function(u, v, x) return loss.imf(u, v, x) end },
  { "tvm", function(u, _, x, target) return loss.tvm(u, nil, x, { target = target }) end },
  { "alphaflow", function(u, v, x, _, part) return loss.alphaflow(u, v, x, { alpha = math.max(0.05, 1 - part) }) end },
  { "ayf", function(u, v, x, _, part) return loss.ayf(u, v, x, { warmup = math.min(1, 4 * part) }) end },
  { "scm", function(u, v, x, _, part) return loss.scm(u, v, x, { warmup = math.min(1, 4 * part) }) end, consistency },
  { "consistency", function(u, v, x, target) return loss.consistency(u, v, x, { target = target, huber = 0.03 }) end, consistency },
  { "consistency_fm", function(u, v, x, target) return loss.consistency_fm(u, v, x, { target = target, segments = 1, gap = 0.02 }) end, consistency },
  { "fmm from data", function(u, _, x) return loss.fmm(u, x) end },
  -- Any losses can be mixed: a loss is a number to differentiate.
  { "lfmd + shortcut", function(u, v, x, target)
    local a, b = loss.lfmd(u, v, x), loss.shortcut(u, v, x, { target = target })
    return 0.75 * a + 0.25 * b
  end },
}

local sets = { "checkerboard", "moons", "circles", "spirals", "eight_gaussians", "pinwheel", "swiss_roll" }
local args = riffle.args {
  set = { "checkerboard", help = "of points", choices = sets },
  steps = { 1500, help = "of each training" },
  methods = { "all", help = "some of them, with commas between" },
}
local name, steps, wanted = args.set, args.steps, {}
if args.methods ~= "all" then
  for method in args.methods:gmatch("[^,]+") do wanted[method] = true end
end
for method in pairs(wanted) do
  local known = false
  for _, entry in ipairs(methods) do known = known or entry[1] == method end
  if not known then error(("no method '%s' here"):format(method), 0) end
end
riffle.seed(1)
local set = data[name]()

local function train(title, network, peak, loss_at)
  local average = optim.ema(network, { decay = 0.998 })
  local target = optim.ema(network, { decay = 0.99 })
  local opt = optim.adamw(network, { lr = peak, clip = 1.0 })
  for step in riffle.progress(steps, title) do
    opt.lr = optim.cosine(step, { peak = peak, warmup = 100, total = steps })
    opt:step(loss_at(set:sample(batch), target.model, step / steps))
    target:update()
    average:update()
  end
  return average.model
end

local net = nn.mlp { dim = 2, width = 128 }
local teacher = train("teacher", net, 4e-3, function(x) return flow.matching_loss(net, x) end)
local noise, truth = riffle.randn(20000, 2), set:sample(20000)
local exact = flow.ode(teacher, noise, { method = "rk4", steps = 50 })

print(("set %s, %d steps of %d samples; sliced Wasserstein distance to the data, and squared distance to the teacher's endpoints")
  :format(name, steps, batch))
print(("%-18s %8s %8s %8s   %9s %9s   %s"):format("NFE", "1", "2", "4", "1", "2", "seconds"))
local pictures = { { "data", truth }, { "teacher, 200", exact } }
local function row(title, seconds, sample)
  local one, two, four = sample(1), sample(2), sample(4)
  local w, d = function(x) return metrics.sliced_wasserstein(x, truth) end, function(x) return metrics.endpoint_mse(x, exact) end
  print(("%-18s %8.4f %8.4f %8.4f   %9.5f %9.5f   %.0f"):format(title, w(one), w(two), w(four), d(one), d(two), seconds))
  return one
end
print(("%-18s %8.4f"):format("teacher, 200 NFE", metrics.sliced_wasserstein(exact, truth)))
row("teacher, Euler", 0, function(nfe) return flow.ode(teacher, noise, { method = "euler", steps = nfe }) end)
for _, method in ipairs(methods) do
  if not next(wanted) or wanted[method[1]] then
    riffle.seed(2)
    local student, start = teacher:two_timed(), os.time()
    local average = train(method[1], student, 1e-3, function(x, target, part) return method[2](student, teacher, x, target, part) end)
    local sample = method[3] or flow.jump
    local one = row(method[1], os.time() - start, function(nfe) return sample(average, noise, { steps = nfe }) end)
    pictures[#pictures + 1] = { method[1], one }
  end
end
plot.scatter("compare.png", pictures, { columns = 5 })
print("one evaluation of each is drawn in compare.png")
