-- Trains one-step generators against a discriminator in a minute or two: a teacher's inner values tell data from samples
-- at all times of the path. Beside distribution matching alone (DMD), with a discriminator (DMD2), with one that also
-- weighs samples (f-distill, Jensen and Shannon's divergence), and the discriminator alone (LADD). Prints sliced
-- Wasserstein distances to the data and draws adversarial.png. riffle adversarial.lua [--set moons]
local riffle = require "riffle"
local nn, flow, optim, data, metrics, plot = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics, riffle.plot
local loss = flow.loss

local sets = { "checkerboard", "moons", "circles", "spirals", "eight_gaussians", "pinwheel", "swiss_roll" }
local args = riffle.args {
  set = { "moons", help = "of points", choices = sets }, steps = { 1500, help = "of each training" },
  methods = { "dmd,dmd2,f-distill,ladd", help = "some of them, with commas between" },
}
riffle.seed(1)
local set, batch, rate = data[args.set](), 256, 5e-4

local net = nn.mlp { dim = 2, width = 128 }
local average, opt = optim.ema(net, { decay = 0.998 }), optim.adamw(net, { lr = 2e-3, clip = 1.0 })
for step in riffle.progress(2 * args.steps, "teacher") do
  opt.lr = optim.cosine(step, { peak = 2e-3, warmup = 100, total = 2 * args.steps })
  opt:step(flow.matching_loss(net, set:sample(batch)))
  average:update()
end
local teacher = average.model

-- What the generator minimises: `matching` times DMD's gradient and `adversarial` times what the discriminator says.
local methods = {
  dmd = { matching = 1 }, dmd2 = { matching = 1, adversarial = 0.1 }, ladd = { adversarial = 1 },
  ["f-distill"] = { matching = 1, adversarial = 0.1, divergence = "jensen_shannon" },
}

-- Three players take turns: the online network learns the generator's flow, the discriminator tells its samples from
-- data, and the generator learns from both. Players that a method does not look at have no turn.
local function distil(name, method)
  local generator, online, critic = teacher:copy(), teacher:copy(), nn.discriminator(teacher)
  local average = optim.ema(generator, { decay = 0.99 })
  local function optimizer(module) return optim.adamw(module, { lr = rate, beta1 = 0, clip = 1.0 }) end
  local opts = { online = optimizer(online), critic = optimizer(critic), generator = optimizer(generator) }
  local turns = { "generator", 1 }
  if method.adversarial then turns[#turns + 1], turns[#turns + 2] = "critic", 1 end
  if method.matching then turns[#turns + 1], turns[#turns + 2] = "online", 3 end
  local losses = {
    online = function(z) return loss.fgm_online(generator, online, z) end,
    critic = function(z) return loss.discriminator(critic, generator, z, set:sample(batch), { r1 = 1 }) end,
    generator = function(z)
      local total = 0
      if method.matching then
        local options = { divergence = method.divergence, discriminator = method.divergence and critic }
        total = total + method.matching * loss.dmd(generator, online, teacher, z, options)
      end
      if method.adversarial then total = total + method.adversarial * loss.adversarial(generator, critic, z) end
      return total
    end,
  }
  for step, player in riffle.progress(flow.turns(args.steps, turns), name) do
    opts[player].lr = optim.cosine(step, { peak = rate, warmup = 50, total = args.steps })
    opts[player]:step(losses[player](riffle.randn(batch, 2)))
    if player == "generator" then average:update() end
  end
  return average.model
end

local noise, truth = riffle.randn(20000, 2), set:sample(20000)
local pictures = { { "data", truth } }
local function row(title, samples)
  print(("%-30s %.4f"):format(title, metrics.sliced_wasserstein(samples, truth)))
  pictures[#pictures + 1] = { title, samples }
end
row("teacher, 50 evaluations", (flow.ode(teacher, noise, { method = "euler", steps = 50 })))
row("teacher, 1 evaluation", flow.generate(teacher, noise))
for name in args.methods:gmatch "[^,]+" do
  local method = methods[name] or error(("there is no method '%s'"):format(name), 0)
  riffle.seed(2)
  row(name .. ", 1 evaluation", flow.generate(distil(name, method), noise))
end
plot.scatter("adversarial.png", pictures, { columns = 3 })
print("drawn in adversarial.png")
