-- Compares the members of the ITVM family with LFMD on a 2-D set: riffle itvm_family.lua SET SEED [STEPS [MEMBER ...]].
-- Prints a CSV row for each student: milliseconds a step, steps, then sliced Wasserstein, KL on the histogram (0 where its masses
-- are not known) and squared distance to the teacher's endpoints, each at 1, 2, 4 and 8 evaluations. About a minute a student on
-- one core, after two minutes for the teacher, which is kept in a file.
local riffle = require "riffle"
local nn, flow, optim, data, metrics = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics

local name, seed, steps = arg[1] or "checkerboard", math.tointeger(arg[2] or 1), math.tointeger(arg[3] or 6000)
local set = data[name]()
local batch, peak, teacher_steps = 512, 1e-3, 20000

-- Members: what the loss is called with, the decay of the target's average (none: the student itself), and steps as a
-- multiple of the others' where a member is given the seconds of another.
local members = {
  { "lfmd", loss = "lfmd" },
  { "lfmd full", loss = "lfmd", gradient = "full" },
  { "lfmd + initial", loss = "lfmd", initial_weight = 1 },
  { "itvm lagged_quotient", loss = "itvm" },
  { "itvm lagged_quotient, no initial", loss = "itvm", initial_weight = 0 },
  { "itvm lagged_quotient, no average", loss = "itvm", decay = 0 },
  { "itvm lagged_quotient, euler", loss = "itvm", last_step = "euler" },
  { "itvm lagged_quotient, midpoint", loss = "itvm", last_step = "midpoint" },
  { "itvm lagged_quotient, offset 0.05", loss = "itvm", offset = 0.05 },
  { "itvm lagged_quotient, offset 0.2", loss = "itvm", offset = 0.2 },
  { "itvm lagged_quotient, relative 0.2", loss = "itvm", offset = 0.2, relative = true },
  { "itvm lagged", loss = "itvm", terminal = "lagged", offset = 0.05, decay = 0.9 },
  { "itvm segment", loss = "itvm", terminal = "segment", offset = 0.05, decay = 0.9 },
  { "itvm segment_quotient", loss = "itvm", terminal = "segment_quotient", offset = 0.05 },
  { "itvm tangent", loss = "itvm", terminal = "tangent", offset = 0.3 },
  { "lfmd, seconds of itvm", loss = "lfmd", seconds_of = "itvm lagged_quotient" },
}
local wanted = {}
for i = 4, #arg do wanted[arg[i]] = true end

riffle.seed(seed)
local path = ("teacher-%s-%d.safetensors"):format(name, seed)
local net = nn.mlp { dim = 2, width = 128 }
local teacher = optim.ema(net, { decay = 0.999 })
local file = io.open(path)
if file then
  file:close()
  teacher.model:load(path)
else
  local opt = optim.adamw(net, { lr = peak, clip = 1.0 })
  for step = 1, teacher_steps do
    opt.lr = optim.cosine(step, { peak = peak, warmup = 100, total = teacher_steps })
    opt:step(flow.matching_loss(net, set:sample(batch)))
    teacher:update()
  end
  teacher.model:save(path)
end

riffle.seed(1000 + seed)
local noise, truth = riffle.randn(20000, 2), set:sample(20000)
local many = name == "checkerboard" and riffle.randn(64000, 2)
local function solve(x) return flow.ode(teacher.model, x, { method = "rk4", steps = 100 }) end
local exact, exact_many = solve(noise), many and solve(many)

local function measure(sample)
  local row = {}
  for _, nfe in ipairs { 1, 2, 4, 8 } do row[#row + 1] = metrics.sliced_wasserstein(sample(noise, nfe), truth) end
  for _, nfe in ipairs { 1, 2, 4, 8 } do row[#row + 1] = many and metrics.histogram_kl(sample(many, nfe), set) or 0 end
  for _, nfe in ipairs { 1, 2, 4, 8 } do row[#row + 1] = metrics.endpoint_mse(sample(noise, nfe), exact) end
  for i, value in ipairs(row) do row[i] = ("%.5f"):format(value) end
  return table.concat(row, ",")
end

local function report(member, milliseconds, count, row)
  print(("%s,%d,%s,%.3f,%d,%s"):format(name, seed, member:gsub(",", ";"), milliseconds, count, row))
  io.stdout:flush()
end

local per_step = {}
local function train(member)
  riffle.seed(2000 + seed)
  local count = steps
  if member.seconds_of then
    if not per_step[member.seconds_of] or not per_step.lfmd then return end
    count = math.floor(steps * per_step[member.seconds_of] / per_step.lfmd)
  end
  local options = {}
  for key, value in pairs(member) do
    if type(key) == "string" and key ~= "loss" and key ~= "decay" and key ~= "seconds_of" then options[key] = value end
  end
  local student = teacher.model:two_timed()
  local decay = member.decay or 0.99
  local target = decay > 0 and optim.ema(student, { decay = decay })
  local average = optim.ema(student, { decay = 0.999 })
  options.target = target and target.model or nil
  local opt = optim.adamw(student, { lr = peak, clip = 1.0 })
  local start = os.clock()
  for step = 1, count do
    opt.lr = optim.cosine(step, { peak = peak, warmup = 100, total = count })
    opt:step((flow.loss[member.loss](student, teacher.model, set:sample(batch), options)))
    if target then target:update() end
    average:update()
  end
  per_step[member[1]] = 1000 * (os.clock() - start) / count
  report(member[1], per_step[member[1]], count, measure(function(x, nfe) return flow.jump(average.model, x, { steps = nfe }) end))
end

report("teacher, euler", 0, teacher_steps, measure(function(x, nfe) return flow.ode(teacher.model, x, { method = "euler", steps = nfe }) end))
report("teacher, rk4 100", 0, teacher_steps, measure(function(x) return x == noise and exact or exact_many end))
for _, member in ipairs(members) do
  if #arg < 4 or wanted[member[1]] then train(member) end
end
