-- Does the main job: trains a flow-matching teacher on a checkerboard, and two students that need one to eight
-- evaluations. Takes under four minutes on two cores; prints a table and draws quickstart.png. Try
-- it with --seed 2, or --steps 200.
local riffle = require "riffle"
local nn, flow, optim, data, metrics, plot = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics, riffle.plot

local args = riffle.args { seed = 1, steps = { 6000, help = "of each training" } }
local seed, steps = args.seed, args.steps
riffle.seed(seed)
local board = data.checkerboard()

-- The teacher learns the velocity that carries noise, at time 0, to the board, at time 1.
local net = nn.mlp { dim = 2, width = 128 }
local teacher = optim.ema(net, { decay = 0.999 })
local opt = optim.adamw(net, { lr = 4e-3, clip = 1.0 })
for step in riffle.progress(steps, "teacher") do
  opt.lr = optim.cosine(step, { peak = 4e-3, warmup = 100, total = steps })
  opt:step(flow.matching_loss(net, board:sample(512)))
  teacher:update()
end

-- A student starts as its teacher and learns to jump from any time to any later one.
local function distil(method)
  riffle.seed(seed + 1)
  local student = teacher.model:two_timed()
  local target = optim.ema(student, { decay = 0.99 })    -- the target of the loss
  local average = optim.ema(student, { decay = 0.999 })  -- makes the samples
  local o = optim.adamw(student, { lr = 1e-3, clip = 1.0 })
  for step in riffle.progress(steps, method) do
    o.lr = optim.cosine(step, { peak = 1e-3, warmup = 100, total = steps })
    o:step(flow.loss[method](student, teacher.model, board:sample(512), { target = target.model }))
    target:update()
    average:update()
  end
  return average.model
end
local lfmd, itvm = distil("lfmd"), distil("itvm")

-- How far each is from the data, by the number of network evaluations (NFE).
local noise, truth = riffle.randn(20000, 2), board:sample(20000)
local exact = flow.ode(teacher.model, noise, { method = "rk4", steps = 50 })
local function row(name, sample)
  local cells = {}
  for _, nfe in ipairs { 1, 2, 4, 8 } do
    cells[#cells + 1] = ("%8.4f"):format(metrics.sliced_wasserstein(sample(nfe), truth))
  end
  print(("%-15s %s"):format(name, table.concat(cells)))
end
print("sliced Wasserstein distance to the data, smaller is better")
print("NFE                    1       2       4       8")
row("teacher, Euler", function(nfe) return flow.ode(teacher.model, noise, { method = "euler", steps = nfe }) end)
row("LFMD student", function(nfe) return flow.jump(lfmd, noise, { steps = nfe }) end)
row("ITVM student", function(nfe) return flow.jump(itvm, noise, { steps = nfe }) end)
print(("teacher with 200 evaluations: %.4f; two draws of the data: %.4f"):format(
  metrics.sliced_wasserstein(exact, truth), metrics.sliced_wasserstein(board:sample(20000), truth)))

plot.scatter("quickstart.png", {
  { "data", truth }, { "teacher, 200 evaluations", exact },
  { "LFMD, 1 evaluation", flow.jump(lfmd, noise, { steps = 1 }) }, { "ITVM, 1 evaluation", flow.jump(itvm, noise, { steps = 1 }) },
})
print("drawn in quickstart.png")
