-- Compares students of one teacher on a 2-D set: riffle students.lua SET SEED STEPS MEMBER[@RATE[xSTEPS]] ..., such as
-- riffle students.lua moons 1 6000 lfmd itvm@3e-3 lfmd@1e-3x8000. Prints a CSV row for each student: milliseconds a
-- step, steps, then sliced Wasserstein, KL on the histogram and squared distance to the teacher's endpoints, each at 1,
-- 2, 4 and 8 evaluations. A student takes about a minute on one core, and the teacher, which is kept in a file, two
-- minutes. RIFFLE_THREADS=1 lets several runs share the machine.
local riffle = require "riffle"
local plane = require "plane"
local flow, optim, data, metrics = riffle.flow, riffle.optim, riffle.data, riffle.metrics

local name, seed, steps = arg[1] or "checkerboard", math.tointeger(arg[2] or 1), math.tointeger(arg[3] or 6000)
local set = data[name]()
local batch, usual_rate, teacher_steps = 512, 1e-3, 20000

-- The loss and options of each member, and the decay of its target's average; without a decay the student is its own
-- target. A function is an option that changes: it is called at each step with the part of the training that is done.
local function random_offset() return 0.005 + 0.195 * math.random() end
local members = {
  ["lfmd"] = { "lfmd" },
  ["lfmd full"] = { "lfmd", gradient = "full" },
  ["lfmd + initial"] = { "lfmd", initial_weight = 1 },
  ["itvm lagged_quotient"] = { "itvm", decay = 0.99 },
  ["itvm lagged_quotient, no initial"] = { "itvm", initial_weight = 0, decay = 0.99 },
  ["itvm lagged_quotient, no average"] = { "itvm" },
  ["itvm lagged_quotient, euler"] = { "itvm", last_step = "euler", decay = 0.99 },
  ["itvm lagged_quotient, midpoint"] = { "itvm", last_step = "midpoint", decay = 0.99 },
  ["itvm lagged_quotient, offset 0.02"] = { "itvm", offset = 0.02, decay = 0.99 },
  ["itvm lagged_quotient, offset 0.05"] = { "itvm", offset = 0.05, decay = 0.99 },
  ["itvm lagged_quotient, offset 0.2"] = { "itvm", offset = 0.2, decay = 0.99 },
  ["itvm lagged_quotient, random offset"] = { "itvm", offset = random_offset, decay = 0.99 },
  ["itvm lagged_quotient, shrinking offset"] = { "itvm", offset = function(done) return 0.2 - 0.18 * done end, decay = 0.99 },
  ["itvm lagged_quotient, random offset, no initial"] = { "itvm", offset = random_offset, initial_weight = 0, decay = 0.99 },
  ["itvm lagged_quotient, random offset, no initial, no average"] = { "itvm", offset = random_offset, initial_weight = 0 },
  ["itvm lagged_quotient, no initial, no average"] = { "itvm", initial_weight = 0 },
  ["itvm lagged_quotient, relative 0.2"] = { "itvm", offset = 0.2, offset_of = "jump", decay = 0.99 },
  ["itvm lagged"] = { "itvm", terminal = "lagged", offset = 0.05, decay = 0.9 },
  ["itvm segment"] = { "itvm", terminal = "segment", offset = 0.05, decay = 0.9 },
  ["itvm segment_quotient"] = { "itvm", terminal = "segment_quotient", offset = 0.05, decay = 0.99 },
  ["itvm tangent"] = { "itvm", terminal = "tangent", offset = 0.3, decay = 0.99 },
  ["efmd"] = { "efmd" },
  ["efmd semi"] = { "efmd", gradient = "semi" },
  ["pfmm"] = { "pfmm" },
  ["pfmm, 4 steps"] = { "pfmm", steps = 4 },
  ["shortcut"] = { "shortcut", decay = 0.999 },
  ["shortcut, three quarters"] = { "shortcut", bootstrap = 0.75, decay = 0.999 },
  ["shortcut, half"] = { "shortcut", bootstrap = 0.5, decay = 0.99 },
  ["meanflow"] = { "meanflow" },
  ["meanflow, square"] = { "meanflow", adaptive = 0 },
  ["imf"] = { "imf" },
  ["tvm"] = { "tvm", decay = 0.99 },
  ["tvm, uniform"] = { "tvm", times = "uniform", decay = 0.99 },
  ["lsd"] = { "lsd" },
  ["esd"] = { "esd" },
  ["psd"] = { "psd" },
  ["psd uniform"] = { "psd", cut = "uniform" },
  ["ayf"] = { "ayf" },
  ["ayf lagrangian"] = { "ayf", form = "lagrangian" },
}

local teacher = plane.teacher(name, seed, teacher_steps, usual_rate)

riffle.seed(1000 + seed)
local noise, truth = riffle.randn(20000, 2), set:sample(20000)
local many = riffle.randn(64000, 2)
local masses = name == "checkerboard" and set or set:sample(4000000)
local function solve(x) return flow.ode(teacher, x, { method = "rk4", steps = 25 }) end
local exact, exact_many = solve(noise), solve(many)

local function measure(sample)
  local row = {}
  for _, nfe in ipairs { 1, 2, 4, 8 } do row[#row + 1] = metrics.sliced_wasserstein(sample(noise, nfe), truth) end
  for _, nfe in ipairs { 1, 2, 4, 8 } do row[#row + 1] = metrics.histogram_kl(sample(many, nfe), masses) end
  for _, nfe in ipairs { 1, 2, 4, 8 } do row[#row + 1] = metrics.endpoint_mse(sample(noise, nfe), exact) end
  for i, value in ipairs(row) do row[i] = ("%.5f"):format(value) end
  return table.concat(row, ",")
end

local function report(member, milliseconds, count, row)
  print(("%s,%d,%s,%.3f,%d,%s"):format(name, seed, member:gsub(",", ";"), milliseconds, count, row))
  io.stdout:flush()
end

local function train(title)
  riffle.seed(2000 + seed)
  math.randomseed(seed)
  local base, rate, count = title:match("^([^@]+)@?([^x]*)x?(%d*)$")
  local member, peak, steps = members[base], tonumber(rate) or usual_rate, math.tointeger(count) or steps
  if not member then error(("no member '%s'"):format(base), 0) end
  local options, scheduled = {}, {}
  for key, value in pairs(member) do
    if type(value) == "function" then scheduled[key] = value
    elseif type(key) == "string" and key ~= "decay" then options[key] = value end
  end
  local student = teacher:two_timed()
  local target = member.decay and optim.ema(student, { decay = member.decay })
  local average = optim.ema(student, { decay = 0.999 })
  options.target = target and target.model or nil
  local opt = optim.adamw(student, { lr = peak, clip = 1.0 })
  local start = os.clock()
  for step = 1, steps do
    opt.lr = optim.cosine(step, { peak = peak, warmup = 100, total = steps })
    for key, value in pairs(scheduled) do options[key] = value(step / steps) end
    opt:step(flow.loss[member[1]](student, teacher, set:sample(batch), options))
    if target then target:update() end
    average:update()
  end
  report(title, 1000 * (os.clock() - start) / steps, steps, measure(function(x, nfe) return flow.jump(average.model, x, { steps = nfe }) end))
end

report("teacher, euler", 0, teacher_steps, measure(function(x, nfe) return flow.ode(teacher, x, { method = "euler", steps = nfe }) end))
report("teacher, rk4 25", 0, teacher_steps, measure(function(x) return x == noise and exact or exact_many end))
for i = 4, #arg do train(arg[i]) end
