-- A training of one of several kinds, small: what it ends with has to be the same bits, however often it was stopped.
-- The variable STOP_AT names a step at which the process asks itself to stop.
local riffle = require "riffle"
local nn, flow, optim, data = riffle.nn, riffle.flow, riffle.optim, riffle.data

local args = riffle.args {
  kind = { kind = "text", required = true, choices = { "teacher", "itvm", "fgm", "power", "pairs" } },
  run = { kind = "path", required = true }, out = { kind = "path", required = true },
  pairs = { kind = "path", required = true, help = "pairs of images 8 x 8 x 3 with labels from 1 to 3" },
  steps = 20, save_every = 1000, channels = 32,
}
local stop_at = math.tointeger(os.getenv "STOP_AT" or 0)
riffle.seed(5)
local set = data.pairs(args.pairs)
local batches = set:batches { size = 4, shuffle = true, repeat_ = args.kind ~= "pairs" }
local net = nn.unet {
  image = { 8, 8, 3 }, channels = args.channels, multipliers = { 1 }, blocks = 1, attention = {}, dropout = 0.2, classes = 3,
  null_class = true,
}
local function noise() return riffle.randn(4, 8, 8, 3) end
local function labels() return { labels = riffle.randint(3, 4) } end
local mine = { seen = 0, words = {} }
local tracked = { net = net, mine = mine }

-- A teacher of the others: a fresh one has no velocity at all.
local function taught()
  local opt = optim.adamw(net, { lr = 1e-2 })
  for _ = 1, 3 do opt:step(flow.matching_loss(net, noise(), labels())) end
  return net:copy(true)
end

-- For each kind: what is tracked, and a step.
local steps = {}
function steps.teacher()
  local average, opt = optim.ema(net, { decay = 0.9 }), optim.adamw(net, { lr = 1e-3, clip = 1.0, weight_decay = 0.1 })
  tracked.average, tracked.opt = average, opt
  return function(step, batch)
    opt.lr = optim.warmup(step, { peak = 1e-3, steps = 15 })
    opt:step(flow.matching_loss(net, batch.x, { labels = batch.labels, label_dropout = 0.3, times = "skewed" }))
    average:update()
  end
end
function steps.itvm()
  local teacher = taught()
  local student = net:two_timed()
  local target = optim.ema(student, { decay = 0.9 })
  local opt = optim.adamw(student, { lr = 1e-3 })
  tracked.student, tracked.target, tracked.opt = student, target, opt
  return function(_, batch)
    opt:step(flow.loss.itvm(student, teacher, batch.x, { target = target.model, labels = batch.labels }))
    target:update()
  end
end
function steps.fgm()
  local teacher, generator, online = taught(), net:copy(), net:copy()
  local generator_opt, online_opt = optim.adamw(generator, { lr = 1e-3, beta1 = 0 }), optim.adamw(online, { lr = 1e-3 })
  tracked.generator, tracked.online, tracked.generator_opt, tracked.online_opt = generator, online, generator_opt, online_opt
  return function(_, turn)
    if turn == "online" then
      online_opt:step(flow.loss.fgm_online(generator, online, noise(), labels()))
    else
      generator_opt:step(flow.loss.fgm(generator, online, teacher, noise(), labels()))
    end
  end
end
function steps.power()
  local average, opt = optim.power_ema(net), optim.sgd(net, { lr = 1e-2, momentum = 0.9, nesterov = true })
  tracked.average, tracked.opt = average, opt
  return function(_, batch)
    opt:step(flow.matching_loss(net, batch.x, { labels = batch.labels }))
    average:update()
  end
end
function steps.pairs()
  local opt = optim.adamw(net, { lr = 1e-3 })
  tracked.opt = opt
  return function(_, batch) opt:step(flow.matching_loss(net, batch.x, { noise = batch.noise, labels = batch.labels })) end
end

local step = steps[args.kind]()
local turns = args.kind == "fgm" and flow.turns(args.steps, { "online", 2, "generator", 1 })
if turns then tracked.turns = turns else tracked.batches = batches end
local run = riffle.run(args.run, { config = args, save_every = args.save_every })
run:track(tracked)
local count, source = turns or args.steps, not turns and batches or nil
for number, item in run:steps(count, source) do
  step(number, item)
  mine.seen = mine.seen + riffle.rand(1):item()
  mine.words[#mine.words + 1] = tostring(number)
  run:log { seen = mine.seen }
  if number == stop_at then os.execute("kill -TERM " .. io.open("/proc/self/stat"):read "n") end
end
mine.last = riffle.randn(2)
riffle.checkpoint.save(args.out, tracked)
