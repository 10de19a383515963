-- Compares students on CIFAR-10: riffle images.lua --data FOLDER --features FILE [--network dit] [--seed 2] ... Models
-- are measured by metrics.by_nfe: the Frechet distance in the features of FILE and the perceptual distance to the
-- teacher's samples from the same noise, at 1, 2 and 4 evaluations. The rows go to --out, the models to files beside it,
-- from which the same command goes on. RIFFLE_THREADS=1 lets two seeds share a machine of two cores.
local riffle = require "riffle"
local nn, flow, optim, data, metrics = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics

local args = riffle.args {
  data = { kind = "path", required = true, help = "the folder with data_batch_*.bin" },
  features = { kind = "path", required = true, help = "weights of EfficientNet-Lite0 or of a classifier" },
  network = { "unet", choices = { "unet", "dit" } }, seed = 1,
  teacher_steps = 1200, steps = 300, batch = 32, lr = 1e-3, samples = 2000,
  members = { "lfmd,itvm,itvm terminal,efmd,pfmm,shortcut,fgm", help = "of the table below" },
  out = { "images", help = "the folder of the rows and models" },
}
local cifar = data.cifar10(args.data)
os.execute("mkdir -p " .. args.out)
local function file(name, ending) return ("%s/%s-%d-%s"):format(args.out, args.network, args.seed, name) .. ending end
local function batches() return cifar:batches { size = args.batch, shuffle = true, flip = true, repeat_ = true } end

-- The network of a file, or what `train` returns, which is then written there.
local function kept(name, train)
  local path = file(name, ".safetensors")
  local there = io.open(path)
  if there then
    there:close()
    return riffle.nn.load(path)
  end
  local trained = train()
  trained:save(path)
  return trained
end

-- Trains by steps that `step(batch)` makes, with the rate of the moment.
local function train(name, steps, opt, peak, step)
  for index, batch in riffle.progress(batches():take(steps), name) do
    opt.lr = optim.cosine(index, { peak = peak, warmup = math.min(100, steps // 4), total = steps })
    step(batch.x, index)
  end
end

riffle.seed(args.seed)
local teacher = kept("teacher", function()
  local net = args.network == "unet"
      and nn.unet { image = { 32, 32, 3 }, channels = 32, multipliers = { 1, 2, 2 }, blocks = 1, attention = { 8 } }
    or nn.dit { image = { 32, 32, 3 }, patch = 4, width = 192, depth = 6, heads = 3, frequency = 30 }
  local average, opt = optim.ema(net, { decay = 0.998 }), optim.adamw(net, { lr = args.lr, clip = 1.0 })
  train("teacher", args.teacher_steps, opt, args.lr, function(x)
    opt:step(flow.matching_loss(net, x, { times = "skewed" }))
    average:update()
  end)
  return average.model
end)

-- The loss of each two-timed student, its options, and the decay of its target's average; without a decay the student
-- is its own target. A correction is the weight of FGM's loss of its samples, whose online network has two steps before
-- each of the student's.
local students = {
  lfmd = { "lfmd" }, itvm = { "itvm", decay = 0.99 }, ["itvm terminal"] = { "itvm", options = { initial_weight = 0 } },
  efmd = { "efmd" }, pfmm = { "pfmm", options = { steps = 4 } }, meanflow = { "meanflow" },
  shortcut = { "shortcut", options = { bootstrap = 0.75 }, decay = 0.999 },
  ["itvm own"] = { "itvm", options = { points = "own", initial_weight = 0 } },
  union = { "itvm", options = { points = "own", initial_weight = 0 }, correction = 0.1 },
}
local function distilled(name)
  local member, student = students[name], teacher:two_timed()
  local average, opt = optim.ema(student, { decay = 0.99 }), optim.adamw(student, { lr = args.lr, clip = 1.0 })
  local target = member.decay and optim.ema(student, { decay = member.decay })
  local options = { target = target and target.model }
  for key, value in pairs(member.options or {}) do options[key] = value end
  local online = member.correction and teacher:copy()
  local online_opt = online and optim.adamw(online, { lr = args.lr, beta1 = 0, clip = 1.0 })
  train(name, args.steps, opt, args.lr, function(x)
    local z = riffle.randn(#x, 32, 32, 3)
    local loss = flow.loss[member[1]](student, teacher, options.points and z or x, options)
    if online then
      online_opt.lr = opt.lr
      for _ = 1, 2 do online_opt:step(flow.loss.fgm_online(student, online, riffle.randn(#x, 32, 32, 3))) end
      loss = loss + member.correction * flow.loss.fgm(student, online, teacher, z)
    end
    opt:step(loss)
    if target then target:update() end
    average:update()
  end)
  return average.model
end

-- The generator of FGM has as many turns as the students have steps, five of six for its online network.
local generators = { fgm = {}, ["fgm l1 0"] = { l1_weight = 0 } }
local function generator(name)
  local made, online = teacher:copy(), teacher:copy()
  local average, rate = optim.ema(made, { decay = 0.98 }), args.lr / 5
  local opt = optim.adamw(made, { lr = rate, beta1 = 0, clip = 1.0 })
  local online_opt = optim.adamw(online, { lr = rate, beta1 = 0, clip = 1.0 })
  train(name, args.steps, opt, rate, function(x, index)
    local z = riffle.randn(#x, 32, 32, 3)
    if index % 6 > 0 then
      online_opt.lr = opt.lr
      online_opt:step(flow.loss.fgm_online(made, online, z))
    else
      opt:step(flow.loss.fgm(made, online, teacher, z, generators[name]))
      average:update()
    end
  end)
  return average.model
end

local models = {
  teacher = { net = teacher, sampler = "heun", nfe = { 2, 4, 32 } },
  ["teacher, Euler"] = { net = teacher, sampler = "euler", nfe = { 1, 2, 4 } },
}
for name in args.members:gmatch "[^,]+" do
  local make = generators[name] and generator or students[name] and distilled
  if not make then error(("there is no member '%s'"):format(name), 0) end
  riffle.seed(1000 + args.seed)
  local model = kept(name:gsub("%W+", "-"), function() return make(name) end)
  models[name] = { net = model, nfe = generators[name] and { 1 } or { 1, 2, 4 } }
end
local found = metrics.by_nfe(models, cifar, {
  n = args.samples, measures = { "fid", "lpips" }, features = metrics.features(args.features),
  perceptual = metrics.perceptual(args.features), teacher = "teacher", seed = args.seed,
})
print(found)
found:save(file("rows", ".csv"))
found:save(file("rows", ".json"))
