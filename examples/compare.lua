-- Compares all losses: trains one teacher and a student or generator by each loss, with the same number of steps, and
-- prints a table by number of evaluations (NFE). riffle compare.lua [--set moons] [--methods itvm,lfmd]. All methods
-- take ten to fifteen minutes on two cores, each a minute or less. Draws compare.png.
local riffle = require "riffle"
local nn, flow, optim, data, metrics, plot = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics, riffle.plot
local loss, batch = flow.loss, 512

-- The loss of each method, a function of student u, teacher v, data x, the target, and the part of training that is
-- done, in [0, 1]. Self-distillation (lsd, esd, psd, tvm) starts as the teacher and goes on from data. Consistency
-- models have their own sampler. Generators are networks of one time, and have one evaluation.
local consistency, generate = flow.consistency, function(net, z) return flow.generate(net, z) end
local function noise_like(x) return riffle.randn(x:shape()) end
-- Methods with a second player w: its loss, and how often it learns for each step of the first.
local function online(u, w, x) return loss.fgm_online(u, w, noise_like(x)) end
local function online_rollout(u, w, x) return loss.fgm_online(u, w, noise_like(x), { steps = 4 }) end
local function critic(u, w, x) return loss.discriminator(w, u, noise_like(x), x, { r1 = 1 }) end
-- Progressive distillation halves the steps four times; a round's teacher is the last round's student.
local round, rounds_teacher
local function progressive(u, v, x, _, part)
  local now = math.min(4, 1 + math.floor(4 * part))
  if now == 1 then rounds_teacher = v elseif now ~= round then rounds_teacher = u:copy(true) end
  round = now
  return loss.progressive(u, rounds_teacher, x, { steps = 8 >> (now - 1) })
end
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
  { "facm", function(u, v, x) return loss.facm(u, v, x) end, consistency },
  { "progressive", progressive },
  { "twinflow", function(u, v, x, target) return loss.twinflow(u, v, x, { target = target }) end },
  { "fmm from data", function(u, _, x) return loss.fmm(u, x) end },
  { "imm from data", function(u, _, x) return loss.imm(u, x) end },
  { "freeflow", function(u, v, x, w) return loss.freeflow(u, w, v, noise_like(x)) end, player = online, turns = 2 },
  { "fgm", function(u, v, x, w) return loss.fgm(u, w, v, noise_like(x)) end, generate, player = online, turns = 5 },
  { "dmd", function(u, v, x, w) return loss.dmd(u, w, v, noise_like(x)) end, generate, player = online, turns = 5 },
  -- rCM: a consistency model, and a part of dmd for its samples by up to four evaluations.
  { "rcm", function(u, v, x, w, part)
    local a, b = loss.scm(u, v, x, { warmup = math.min(1, 4 * part) }), loss.dmd(u, w, v, noise_like(x), { steps = 4 })
    return a + b
  end, consistency, player = online_rollout, turns = 4 },
  { "kd", function(u, v, x)
    local z = noise_like(x)
    return loss.kd(u, z, (flow.ode(v, z, { method = "rk4", steps = 10 })))
  end, generate },
  { "drifting", function(u, _, x) return loss.drifting(u, noise_like(x), x) end, generate },
  { "adversarial", function(u, _, x, w) return loss.adversarial(u, w, noise_like(x)) end, generate, player = critic, turns = 1 },
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

-- Trains a network. Where there is a second player it takes its turns first, and the network looks at it instead of at
-- an average of its own.
local function train(title, network, peak, loss_at, player, player_loss, turns)
  local average = optim.ema(network, { decay = 0.998 })
  local target = optim.ema(network, { decay = 0.99 })
  local opt = optim.adamw(network, { lr = peak, clip = 1.0, beta1 = player and 0 or 0.9 })
  local player_opt = player and optim.adamw(player, { lr = peak, clip = 1.0, beta1 = 0 })
  for step in riffle.progress(steps, title) do
    opt.lr = optim.cosine(step, { peak = peak, warmup = 100, total = steps })
    for _ = 1, turns or 0 do
      player_opt.lr = opt.lr
      player_opt:step(player_loss(network, player, set:sample(batch)))
    end
    opt:step(loss_at(set:sample(batch), player or target.model, step / steps))
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
  local function w(x) return x and ("%8.4f"):format(metrics.sliced_wasserstein(x, truth)) or "" end
  local function d(x) return x and ("%9.5f"):format(metrics.endpoint_mse(x, exact)) or "" end
  print(("%-18s %8s %8s %8s   %9s %9s   %.0f"):format(title, w(one), w(two), w(four), d(one), d(two), seconds))
  return one
end
print(("%-18s %8.4f"):format("teacher, 200 NFE", metrics.sliced_wasserstein(exact, truth)))
row("teacher, Euler", 0, function(nfe) return flow.ode(teacher, noise, { method = "euler", steps = nfe }) end)
for _, method in ipairs(methods) do
  if not next(wanted) or wanted[method[1]] then
    riffle.seed(2)
    local is_generator, start = method[3] == generate, os.time()
    local student = is_generator and teacher:copy() or teacher:two_timed()
    local player = method.player == critic and nn.discriminator(teacher) or method.player and teacher:copy()
    local average = train(method[1], student, is_generator and 3e-4 or 1e-3, function(x, other, part)
      return method[2](student, teacher, x, other, part)
    end, player, method.player, method.turns)
    local sample = method[3] or flow.jump
    local one = row(method[1], os.time() - start, function(nfe)
      return (not is_generator or nfe == 1) and sample(average, noise, { steps = nfe })
    end)
    pictures[#pictures + 1] = { method[1], one }
  end
end
plot.scatter("compare.png", pictures, { columns = 5 })
print("one evaluation of each is drawn in compare.png")
