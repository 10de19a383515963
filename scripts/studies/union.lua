-- ITVM's flow map, corrected by FGM, beside its parts and other students, on a 2-D set:
-- riffle union.lua SET SEED STEPS MEMBER[ OPTION=NUMBER ...][@RATE] ..., such as
-- riffle union.lua moons 1 2000 union "union correction=0.03 online=1@1e-3" fgm@3e-4. Prints a CSV row for each
-- member: milliseconds a step, steps, then sliced Wasserstein, KL, squared distance to the teacher's endpoints and
-- coverage (plane.lua has their words), each at 1, 2 and 4 evaluations; a generator has one evaluation only, but those
-- of scm and rcm. A member takes from 15 seconds to a minute on one core, and the teacher, which is kept in a file,
-- half a minute.
-- The word "errors" among the members makes those behind it print where in (s, t) their errors lie, too.
-- RIFFLE_THREADS=1 lets several runs share the machine.
local riffle = require "riffle"
local plane = require "plane"
local flow, optim, data = riffle.flow, riffle.optim, riffle.data

local name, seed, usual_steps = arg[1], math.tointeger(arg[2]), math.tointeger(arg[3])
local batch, sizes = 256, { 1, 2, 4 }
local set = data[name]()

-- A member learns by the prediction of a flow map, by a correction of its samples in one jump, or by both, in turns
-- with an online network that knows the flow of these samples. Numbers can be given on the command line:
--   online        steps of the online network in each step
--   online_rate   its rate as a part of the student's
--   correction    the weight of the correction; the prediction's is 1
--   apart         1 where prediction and correction have turns and optimizers of their own, and `correction` is the
--                 correction's rate as a part of the prediction's
--   begin         the part of the training after which the correction begins
--   rollout       evaluations, of which correction and online network see samples by a random number; 1 if not given
--   warmup        the part of the training in which the derivative in scm's tangent comes in
--   l1_weight     of FGM; rectification_weight and order, of TwinFlow
--   decay         of the average that the student looks up to; 0 for none
--   steps         of the training, instead of STEPS
local itvm = { prediction = "itvm", decay = 0.99 }
-- The terminal term alone, without an average: with Heun's step over 0.1, and with one evaluation of the teacher.
local itvm_heun = { prediction = "itvm", initial_weight = 0 }
local itvm_midpoint = {
  prediction = "itvm", initial_weight = 0, last_step = "implicit_midpoint", offset = 0.2, offset_of = "rest",
}
local itvm_own = { prediction = "itvm", points = "own", decay = 0.99 }
local itvm_start = { prediction = "itvm", times = "start", decay = 0.99 }
local function generator(loss)
  return { correct = loss, is_generator = true, online = 3, online_rate = 1, rate = 1e-3 }
end
-- A consistency model, at the authors' times; DMD corrects that of rCM once its tangent is whole.
local function scm(others)
  local member = { prediction = "scm", is_generator = true, evaluations = 4, warmup = 0.25, rate = 3e-4 }
  member.times, member.time_mean, member.time_std = "logit_normal", 0.8, 1.6
  for key, value in pairs(others) do member[key] = value end
  return member
end
local function union(prediction, loss)
  local member = { correct = loss, online = 2, online_rate = 1, correction = 0.1 }
  for key, value in pairs(prediction) do member[key] = value end
  return member
end
local members = {
  ["lfmd"] = { prediction = "lfmd" },
  ["lfmd own"] = { prediction = "lfmd", points = "own" },
  ["lfmd start"] = { prediction = "lfmd", times = "start" },
  ["itvm"] = itvm,
  ["itvm heun"] = itvm_heun,
  ["itvm midpoint"] = itvm_midpoint,
  ["itvm own"] = itvm_own,
  ["itvm start"] = itvm_start,
  ["freeflow"] = { prediction = "freeflow", online = 2, online_rate = 1, rate = 1e-3 },
  ["fgm"] = generator "fgm",
  ["dmd"] = generator "dmd",
  ["twinflow"] = { prediction = "twinflow", decay = 0.99 },
  ["twinflow alone"] = { prediction = "twinflow", decay = 0.99, is_alone = true },
  ["scm"] = scm {},
  ["rcm"] = scm { correct = "dmd", correction = 1, rollout = 4, online = 4, online_rate = 1, begin = 0.25 },
  ["union"] = union(itvm_own, "fgm"),
  ["union start"] = union(itvm_start, "fgm"),
  ["union dmd"] = union(itvm_own, "dmd"),
}

-- The member of a title and its options, and the rate.
local function parsed(title)
  local text, rate = title:match "^([^@]+)@?(.*)$"
  local settings = {}
  local base = text:gsub("%s+([%w_]+)=(%S+)", function(key, value)
    settings[key] = tonumber(value)
    return ""
  end)
  local member = members[base] or error(("no member '%s'"):format(base), 0)
  return setmetatable(settings, { __index = member }), tonumber(rate) or member.rate or 3e-3
end

local teacher_steps = 4000
local teacher = plane.teacher(name, seed, teacher_steps, 4e-3)
local measure = plane.measuring(name, seed, teacher)

local function report(title, milliseconds, steps, sample, evaluations)
  local row, columns = { name, seed, title, ("%.3f"):format(milliseconds), steps }, { {}, {}, {}, {} }
  for i, count in ipairs(sizes) do
    local values = count <= evaluations and measure(function(x) return (sample(x, count)) end)
    for n, column in ipairs(columns) do column[i] = values and ("%.5f"):format(values[n]) or "" end
  end
  for _, column in ipairs(columns) do row[#row + 1] = table.concat(column, ",") end
  print(table.concat(row, ","))
  io.stdout:flush()
end

-- What each turn learns: functions of a batch of noise that return a loss. `losses.part` is the part of the training
-- that is done.
local function losses_of(member, student, online, target)
  local predicted = {
    target = target, points = member.points,
    times = member.times, time_mean = member.time_mean, time_std = member.time_std,
    last_step = member.last_step, offset = member.offset, offset_of = member.offset_of,
    initial_weight = member.initial_weight,
    rectification_weight = member.rectification_weight, order = math.tointeger(member.order),
  }
  local needs_data = not (member.points or member.times == "start")
  local rollout = math.tointeger(member.rollout or 1)
  local losses = { part = 0 }
  function losses.online(z) return flow.loss.fgm_online(student, online, z, { steps = rollout }) end
  function losses.prediction(z)
    predicted.warmup = member.warmup and math.min(1, losses.part / member.warmup)
    if member.prediction == "freeflow" then return flow.loss.freeflow(student, online, teacher, z) end
    local known = not member.is_alone and teacher or nil
    return flow.loss[member.prediction](student, known, needs_data and set:sample(batch) or z, predicted)
  end
  function losses.correction(z)
    return flow.loss[member.correct](student, online, teacher, z, { l1_weight = member.l1_weight, steps = rollout })
  end
  function losses.both(z)
    local prediction, correction = losses.prediction(z), losses.correction(z)
    return prediction + member.correction * correction
  end
  return losses
end

-- The turns of a step as flow.turns takes them, and by their names what learns in each: optimizer and peak rate. The
-- networks of FGM follow one another and have no momentum; nor has a correction of its own.
local function players_of(member, student, online, rate)
  local turns, players = {}, {}
  local function takes_part(turn, count, network, peak, beta1)
    turns[#turns + 1], turns[#turns + 2] = turn, count
    players[turn] = { opt = optim.adamw(network, { beta1 = beta1, clip = 1.0 }), peak = peak }
  end
  if online then takes_part("online", member.online, online, member.online_rate * rate, 0) end
  if not member.prediction then
    takes_part("correction", 1, student, rate, 0)
  elseif not member.correct or (member.apart or 0) > 0 then
    takes_part("prediction", 1, student, rate, 0.9)
    if member.correct then takes_part("correction", 1, student, member.correction * rate, 0) end
  else
    takes_part("both", 1, student, rate, 0.9)
  end
  return turns, players
end

-- A line for each start s of the grid, with the errors to each end, times 1000.
local function report_errors(title, student)
  local grid, errors = plane.errors(seed, teacher, student)
  for i, s in ipairs(grid) do
    local line = {}
    for j = i, #grid do line[#line + 1] = ("%.2f"):format(1000 * errors[i][j]) end
    print(("errors,%s,%d,%s,%g,%s%s"):format(name, seed, title, s, (","):rep(i - 1), table.concat(line, ",")))
  end
end

local shows_errors = false
local function train(title)
  riffle.seed(2000 + seed)
  local member, rate = parsed(title)
  local steps = math.tointeger(member.steps or usual_steps)
  local student = member.is_generator and teacher:copy() or teacher:two_timed()
  local online = member.online and teacher:copy()
  local target = (member.decay or 0) > 0 and optim.ema(student, { decay = member.decay })
  local average = optim.ema(student, { decay = 0.995 })
  local losses = losses_of(member, student, online, target and target.model or nil)
  local turns, players = players_of(member, student, online, rate)
  local begin = (member.begin or 0) * steps
  local start = os.clock()
  for step, turn in flow.turns(steps, turns) do
    local player = players[turn]
    losses.part = step / steps
    player.opt.lr = optim.cosine(step, { peak = player.peak, warmup = 100, total = steps })
    -- Before the correction begins, the prediction is alone.
    local learned = step <= begin and "prediction" or turn
    if step > begin or turn == "prediction" or turn == "both" then
      player.opt:step(losses[learned](riffle.randn(batch, 2)))
      if target and turn ~= "online" then target:update() end
    end
    if turn == turns[#turns - 1] then average:update() end
  end
  local sampler = member.is_generator and flow.generate or flow.jump
  local milliseconds = 1000 * (os.clock() - start) / steps
  report(title, milliseconds, steps, function(x, nfe) return sampler(average.model, x, { steps = nfe }) end,
    member.evaluations or member.is_generator and 1 or 4)
  if shows_errors then report_errors(title, average.model) end
end

local function by_solver(method, count)
  return function(x, nfe) return flow.ode(teacher, x, { method = method, steps = count or nfe }) end
end
for i = 4, #arg do
  if arg[i] == "errors" then
    shows_errors = true
  elseif arg[i] == "teacher" then
    report("teacher; Euler", 0, teacher_steps, by_solver "euler", 4)
    report("teacher; 100 evaluations", 0, teacher_steps, by_solver("heun", 50), 1)
  else
    train(arg[i])
  end
end
