-- Trains a one-step generator by flow generator matching, without data: on points in three to five minutes, or on
-- images. riffle one_step.lua [SET] [--steps 6000], such as moons; or riffle one_step.lua CIFAR_FOLDER
-- TEACHER.safetensors [--steps 300] with the teacher that examples/cifar10.lua saves, where a step takes four to seven
-- seconds on two cores. Draws one_step.png.
local riffle = require "riffle"
local nn, flow, optim, data, metrics, plot, image =
  riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics, riffle.plot, riffle.image

-- Takes an option such as --steps and the value behind it out of the arguments.
local function option(name)
  for i, word in ipairs(arg) do
    if word == name then
      table.remove(arg, i)
      return assert(table.remove(arg, i), name .. " needs a value")
    end
  end
end
local steps = assert(math.tointeger(option "--steps" or arg[2] and 300 or 6000), "--steps needs a whole number")
riffle.seed(1)

-- The online network learns the flow of the generator's samples, and the generator is updated so that this flow becomes
-- the teacher's. Both networks start as the teacher; a momentum of zero keeps them from swinging.
local function distil(teacher, steps, lr, noise)
  local generator, online = teacher:copy(), teacher:copy()
  local average = optim.ema(generator, { decay = 0.999 })
  local generator_opt = optim.adamw(generator, { lr = lr, beta1 = 0, clip = 1.0 })
  local online_opt = optim.adamw(online, { lr = lr, beta1 = 0, clip = 1.0 })
  for step, turn in riffle.progress(flow.turns(steps, { "online", 5, "generator", 1 }), "fgm") do
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

if arg[2] then
  assert(not arg[3], "usage: riffle one_step.lua CIFAR_FOLDER TEACHER.safetensors [--steps 300]")
  local teacher = nn.unet { image = { 32, 32, 3 }, channels = 64, multipliers = { 1, 2, 2 }, attention = { 16 } }:load(arg[2])
  local generator = distil(teacher, steps, 3e-5, function() return riffle.randn(16, 32, 32, 3) end)
  image.save("one_step.png", flow.generate(generator, riffle.randn(16, 32, 32, 3)), { columns = 4 })
  generator:save("one_step.safetensors")
  print("drawn in one_step.png, saved in one_step.safetensors")
  return
end

local name = arg[1] or "checkerboard"
if not data[name] then error(("no set '%s' of points"):format(name), 0) end
local set = data[name]()
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
