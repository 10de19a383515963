-- The papers' protocol on CIFAR-10, from a teacher to a table: a U-Net of torchcfm, an ITVM student, a generator by flow
-- generator matching, and FID by number of evaluations beside the published figures. riffle paper_cifar10.lua --data
-- FOLDER, which holds data_batch_*.bin; --teacher FILE takes torchcfm's published weights instead of training.
-- On two cores one step of the whole protocol takes 22 s (teacher), 62 s (student) and 59 s (generator), months in all:
-- it is meant for a machine that is a hundred times as fast. --small does the whole of it with a small network, few
-- steps and few samples, sized for half an hour: its distances compare its own rows and nothing else.
local riffle = require "riffle"
local nn, flow, optim, data, metrics = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics

local args = riffle.args {
  data = { kind = "path", required = true, help = "the folder with data_batch_*.bin" },
  small = { false, help = "a small network, few steps and few samples" },
  teacher = { kind = "path", help = "torchcfm's weights, such as cfm_cifar10_weights_step_400000.pt" },
  features = { kind = "path", help = "weights of a feature network, where Inception's are not at hand" },
  run = { "runs/paper", help = "where the files of all runs go" },
  steps = { kind = "integer", help = "of each training, instead of the protocol's" },
  samples = { kind = "integer", help = "50000, or 2000 where small" }, seed = 1,
}
local small = args.small
local samples = args.samples or (small and 2000 or 50000)
riffle.seed(args.seed)
local cifar = data.cifar10(args.data)

-- Batches, steps, rates and averages: torchcfm's for the teacher; RealUID's run of FGM, with five updates of the online
-- network for each of the generator.
local protocol = small
    and {
      teacher = { batch = 32, steps = 1500, lr = 1e-3, warmup = 100, decay = 0.998 },
      itvm = { batch = 32, steps = 400, lr = 5e-4, warmup = 50, decay = 0.99 },
      fgm = { batch = 32, steps = 600, lr = 1e-4, warmup = 50, decay = 0.99 },
    }
  or {
    teacher = { batch = 128, steps = 400000, lr = 2e-4, warmup = 5000, decay = 0.9999 },
    itvm = { batch = 128, steps = 100000, lr = 1e-4, warmup = 1000, decay = 0.9999 },
    fgm = { batch = 256, steps = 500000, lr = 3e-5, warmup = 500, decay = 0.999 },
  }

-- A part's average: read where its training is done, else trained, in a run that can be stopped and gone on with.
local function part(name, network, train)
  local p, path = protocol[name], ("%s/%s.safetensors"):format(args.run, name)
  local average = optim.ema(network, { decay = p.decay })
  p.total = args.steps or p.steps
  train(p, riffle.run(args.run .. "/" .. name, { config = args, save_every = 500 }), average)
  average.model:save(path)
  return average.model
end

local function batches(size) return cifar:batches { size = size, shuffle = true, flip = true, repeat_ = true } end
local function rate(step, p) return optim.warmup(step, { peak = p.lr, steps = p.warmup }) end

-- The teacher: flow matching.
local net = small and nn.unet { image = { 32, 32, 3 }, channels = 32, multipliers = { 1, 2, 2 }, blocks = 1, attention = { 8 } }
  or nn.unet { image = { 32, 32, 3 }, dropout = 0.1 }
print(net)
local teacher = args.teacher and net:load(args.teacher, { entry = "ema_model", strip = "module." })
  or part("teacher", net, function(p, run, average)
    local opt, set = optim.adamw(net, { lr = p.lr, clip = 1.0 }), batches(p.batch)
    run:track { net = net, average = average, opt = opt, batches = set }
    for step, batch in run:steps(p.total, set) do
      opt.lr = rate(step, p)
      local report = opt:step(flow.matching_loss(net, batch.x, { times = small and "skewed" or "uniform" }))
      average:update()
      run:log { loss = report.loss, lr = opt.lr }
    end
  end)

-- ITVM's student, which jumps from any time to any later one.
local student = teacher:two_timed()
local itvm = part("itvm", student, function(p, run, average)
  local target = optim.ema(student, { decay = 0.99 })
  local opt, set = optim.adamw(student, { lr = p.lr, clip = 1.0 }), batches(p.batch)
  run:track { student = student, average = average, target = target, opt = opt, batches = set }
  for step, batch in run:steps(p.total, set) do
    opt.lr = rate(step, p)
    local report = opt:step(flow.loss.itvm(student, teacher, batch.x, { target = target.model }))
    target:update()
    average:update()
    run:log { loss = report.loss, lr = opt.lr }
  end
end)

-- FGM's generator, which needs noise alone.
local generator, online = teacher:copy(), teacher:copy()
local fgm = part("fgm", generator, function(p, run, average)
  local generator_opt = optim.adamw(generator, { lr = p.lr, beta1 = 0, clip = 1.0 })
  local online_opt = optim.adamw(online, { lr = p.lr, beta1 = 0, clip = 1.0 })
  local turns = flow.turns(p.total, { "online", 5, "generator", 1 })
  run:track {
    generator = generator, online = online, average = average, generator_opt = generator_opt, online_opt = online_opt,
  }
  for step, turn in run:steps(turns) do
    local z = riffle.randn(p.batch, 32, 32, 3)
    if turn == "online" then
      online_opt.lr = rate(step, p)
      run:log { online = online_opt:step(flow.loss.fgm_online(generator, online, z)).loss }
    else
      generator_opt.lr = rate(step, p)
      generator_opt:step(flow.loss.fgm(generator, online, teacher, z))
      average:update()
    end
  end
end)

-- The features at hand: those of --features, the published Inception's, those of EfficientNet-Lite0, and else the
-- colours of small pictures, which see little.
local function features()
  if args.features then return metrics.features(args.features) end
  for _, name in ipairs { "inception-2015", "efficientnet-lite0" } do
    local isThere, found = pcall(metrics.features, name)
    if isThere then return found end
  end
  return metrics.features(function(x) return x:avg_pool(8) end, { name = "pixels of small pictures" })
end
local found = metrics.by_nfe({
  teacher = { net = teacher, sampler = "heun", nfe = small and { 2, 4, 8, 32 } or { 10, 50, 100 } },
  itvm = { net = itvm, nfe = { 1, 2, 4, 8 } }, fgm = { net = fgm, nfe = { 1 } },
}, cifar, { n = samples, features = features(), teacher = "teacher", folder = args.run .. "/samples", seed = args.seed })
print(found)
found:save(args.run .. "/table.csv")
found:save(args.run .. "/table.png")
print [[

published, FID of 50,000 samples against the 50,000 pictures for training, at 1, 2, 4 and 8 evaluations:
  FGM, Huang et al. 2024                                    3.08
  its loss with torchcfm's U-Net, RealUID 2025              2.58                    (teacher, 100 Euler steps: 3.57)
  MeanFlow, Geng et al. 2025                                2.92
  Lagrangian self-distillation, Boffi et al. 2025           8.10   4.37   3.34   3.33
  shortcut distillation, F2D2 2025                         12.75   7.13   5.41   5.01
The figures of ITVM, Khungurn et al. 2025, are in its paper, 2505.01169.]]
