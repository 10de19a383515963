-- Trains a one-step generator by flow generator matching, without data: on points in three to five minutes, or on
-- images. riffle one_step.lua [--set moons]; or riffle one_step.lua --teacher FILE with the teacher that
-- examples/cifar10.lua saves, where a step takes four to seven seconds on two cores. Draws one_step.png.
local riffle = require "riffle"
local nn, flow, optim, data, metrics, plot, image =
  riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics, riffle.plot, riffle.image

local sets = { "checkerboard", "moons", "circles", "spirals", "eight_gaussians", "pinwheel", "swiss_roll" }
local args = riffle.args {
  set = { "checkerboard", help = "of points", choices = sets },
  teacher = { kind = "path", help = "the teacher of pictures that examples/cifar10.lua saves, instead of a set" },
  steps = { kind = "integer", help = "6000 for points, 300 for pictures" },
  run = { "runs/one_step", help = "the folder of the generator of pictures" },
  samples = { 256, help = "that pictures are measured by" },
  features = { kind = "path", help = "weights of a feature network for that; see riffle weights" },
}
local steps = args.steps or args.teacher and 300 or 6000
riffle.seed(1)

-- The online network learns the flow of the generator's samples, and the generator is updated so that this flow becomes
-- the teacher's. Both networks start as the teacher; a momentum of zero keeps them from swinging.
-- - run: the run that keeps what is done, if any.
local function distil(teacher, steps, lr, noise, run)
  local generator, online = teacher:copy(), teacher:copy()
  local average = optim.ema(generator, { decay = 0.999 })
  local generator_opt = optim.adamw(generator, { lr = lr, beta1 = 0, clip = 1.0 })
  local online_opt = optim.adamw(online, { lr = lr, beta1 = 0, clip = 1.0 })
  local turns = flow.turns(steps, { "online", 5, "generator", 1 })
  if run then
    run:track {
      generator = generator, online = online, average = average, generator_opt = generator_opt, online_opt = online_opt,
    }
  end
  local loop = run and function() return run:steps(turns) end or function() return riffle.progress(turns, "fgm") end
  for step, turn in loop() do
    if turn == "online" then
      online_opt.lr = optim.cosine(step, { peak = lr, warmup = 100, total = steps })
      online_opt:step(flow.loss.fgm_online(generator, online, noise()))
    else
      generator_opt.lr = online_opt.lr
      generator_opt:step(flow.loss.fgm(generator, online, teacher, noise()))
      average:update()
    end
  end
  return average.model
end

if args.teacher then
  local teacher = nn.unet { image = { 32, 32, 3 }, channels = 64, multipliers = { 1, 2, 2 }, attention = { 16 } }:load(args.teacher)
  local run = riffle.run(args.run, { config = args })
  local generator = distil(teacher, steps, 3e-5, function() return riffle.randn(16, 32, 32, 3) end, run)
  image.save("one_step.png", flow.generate(generator, riffle.randn(16, 32, 32, 3)), { columns = 4 })
  generator:save("one_step.safetensors")
  print("drawn in one_step.png, saved in one_step.safetensors")
  -- The distance from what the teacher makes in 32 evaluations: in the features of --features, where its weights are at
  -- hand, else of small pictures' pixels, which see colours and little more.
  local features = metrics.features(args.features or function(x) return x:avg_pool(8) end,
    not args.features and { name = "pixels of small pictures" } or nil)
  local many = flow.samples(teacher, { n = args.samples, nfe = 32, sampler = "heun" })
  for name, net in pairs { teacher = teacher, generator = generator } do
    local made = flow.samples(net, { n = args.samples, nfe = 1, seed = 1 })
    print(name, metrics.frechet(many, made, { features = features, note = "1 evaluation against the teacher's 32" }))
  end
  return
end

local set = data[args.set]()
local net = nn.mlp { dim = 2, width = 128 }
local teacher = optim.ema(net, { decay = 0.999 })
local opt = optim.adamw(net, { lr = 4e-3, clip = 1.0 })
for step in riffle.progress(steps, "teacher") do
  opt.lr = optim.cosine(step, { peak = 4e-3, warmup = 100, total = steps })
  opt:step(flow.matching_loss(net, set:sample(512)))
  teacher:update()
end
local generator = distil(teacher.model, steps, 3e-4, function() return riffle.randn(512, 2) end)

local noise, truth = riffle.randn(20000, 2), set:sample(20000)
local made = flow.generate(generator, noise)
local many = flow.ode(teacher.model, noise, { method = "euler", steps = 50 })
local one = flow.generate(teacher.model, noise)
local function distance(x) return metrics.sliced_wasserstein(x, truth) end
print("sliced Wasserstein distance to the data")
print(("  teacher, 50 evaluations    %.4f"):format(distance(many)))
print(("  teacher, 1 evaluation      %.4f"):format(distance(one)))
print(("  generator, 1 evaluation    %.4f"):format(distance(made)))
print(("  two draws of the data      %.4f"):format(distance(set:sample(20000))))
plot.scatter("one_step.png", { { "data", truth }, { "teacher, 50", many }, { "teacher, 1", one }, { "generator, 1", made } })
print("drawn in one_step.png")
