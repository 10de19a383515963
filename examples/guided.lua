-- Shows classes and guidance: trains a class-conditional teacher, guides it at sampling, and distils the guided teacher
-- into a student that needs one evaluation and no guidance. Takes a minute and a half on two cores; draws guided.png.
-- riffle guided.lua [--steps 4000]
local riffle = require "riffle"
local nn, flow, optim, data, plot = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.plot

local steps = riffle.args { steps = { 4000, help = "of each training" } }.steps
riffle.seed(1)

-- The eight classes are the Gaussians of a ring, wide enough to overlap: a point's class is a matter of probability.
local centres = riffle.linspace(0, 2 * math.pi * 7 / 8, 8)
local centre = riffle.stack({ centres:cos(), centres:sin() }, 2) * 1.5
local function sample(n)
  local labels = riffle.randint(8, n)
  return centre:take(labels) + 0.6 * riffle.randn(n, 2), labels
end

-- The part of the points that are nearest to the centre of their own class.
local function accuracy(x, labels)
  local distance = (x:unsqueeze(2) - centre:unsqueeze(1)):square():sum(3)
  return distance:argmin(2):eq(labels):to("float32"):mean():item()
end

local function train(title, net, peak, loss)
  local average = optim.ema(net, { decay = 0.999 })
  local opt = optim.adamw(net, { lr = peak, clip = 1.0 })
  for step in riffle.progress(steps, title) do
    opt.lr = optim.cosine(step, { peak = peak, warmup = 100, total = steps })
    opt:step(loss(sample(512)))
    average:update()
  end
  return average.model
end

-- One label in ten is replaced by "none" (the ninth), so that the network also learns the flow of all classes together.
local net = nn.mlp { dim = 2, width = 128, classes = 8, null_class = true }
local teacher = train("teacher", net, 4e-3, function(x, labels)
  return flow.matching_loss(net, x, { labels = labels, label_dropout = 0.1 })
end)
local guided = flow.guide(teacher, { scale = 3 })

local student = guided:two_timed()
local target = optim.ema(student, { decay = 0.99 })
local distilled = train("student", student, 1e-3, function(x, labels)
  target:update()
  return flow.loss.itvm(student, guided, x, { target = target.model, labels = labels })
end)

local n = 8000
local noise, labels = riffle.randn(n, 2), riffle.randint(8, n)
local real, real_labels = sample(n)
local plain = flow.ode(teacher, noise, { steps = 25, labels = labels })
local led = flow.ode(guided, noise, { steps = 25, labels = labels })
local jumped = flow.jump(distilled, noise, { steps = 1, labels = labels })
print("points nearest to the centre of their own class")
print(("  data                          %.3f"):format(accuracy(real, real_labels)))
print(("  teacher, 50 evaluations       %.3f"):format(accuracy(plain, labels)))
print(("  guided teacher, 100           %.3f"):format(accuracy(led, labels)))
print(("  student of it, 1 evaluation   %.3f"):format(accuracy(jumped, labels)))
print(("  root mean square distance of the student to the guided teacher: %.4f"):format(
  (jumped - led):square():sum(2):mean():sqrt():item()))
plot.scatter("guided.png", { { "data", real }, { "teacher", plain }, { "guided, scale 3", led }, { "student, 1", jumped } })
print("drawn in guided.png")
