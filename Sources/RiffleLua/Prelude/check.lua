-- riffle.flow.check: holds a loss to a flow map that is known in closed form.
local riffle, internal = ...
local _ENV = internal.lua
local define, fail, kind, describe = internal.define, internal.fail, internal.kind, internal.describe
local enclosed, leaving = internal.enclosed, internal.leaving
local nn, flow, optim, metrics = riffle.nn, riffle.flow, riffle.optim, riffle.metrics

local batch <const> = 256

-- The data: a Gaussian in the plane, whose means and deviations differ by axis, so that wrong signs, exchanged axes and
-- lost means show. A point of the path has the mean t m and the deviation a(t), a(t)^2 = (1 - t)^2 + (t sigma)^2, and
--     v(x, t) = m + a'(t) / a(t) (x - t m),    X_{s,t}(x) = t m + a(t) / a(s) (x - s m)
local function gaussian()
  local mean, sigma = riffle.tensor { 1, -0.5 }, riffle.tensor { 0.5, 1.5 }
  local function deviation(t) return ((1 - t):square() + (t * sigma):square()):sqrt() end
  local set = {}
  function set.sample(n) return mean + sigma * riffle.randn(n, 2) end
  -- The point at the time t [n, 1] of the trajectory that begins at the noise z, and back to its noise.
  function set.point(z, t) return t * mean + deviation(t) * z end
  function set.noise(x, t) return (x - t * mean) / deviation(t) end
  set.teacher = nn.module {
    forward = function(_, x, time)
      local t = time:unsqueeze(2)
      return mean + (t * sigma:square() - (1 - t)) / deviation(t):square() * (x - t * mean)
    end,
  }
  return set
end

-- What is measured: jumps between quarters of time, or the distribution of what one jump from noise makes.
local measures = {
  map = function() return true end,
  halves = function(s, t) return t - s ~= 0.75 and s % (t - s) == 0 end,
  starts = function(s) return s == 0 end,
  ends = function(_, t) return t == 1 end,
  segments = function(s, t) return t - s == 0.5 and s ~= 0.25 end,
  jump = function(s, t) return t - s == 1 end,
  samples = function(s, t) return t - s == 1 end,
}

-- One step by a loss. An error says which step it was.
local function update(opt, loss, step, steps)
  if kind(loss) ~= "tensor" then
    fail("riffle.flow.check: the loss must return a single number as a tensor, got " .. describe(loss))
  end
  local ok, problem = enclosed(opt.step, opt, loss)
  if ok then return end
  -- The line is that of the call of riffle.flow.check, which `fail` names again.
  local text = tostring(problem):gsub("^[^\n]-:%d+: ", "")
  fail(("riffle.flow.check: in step %d of %d: %s"):format(step, steps, text))
end

-- Trains networks in turns, at rates that rise and fall.
-- - players: a list of { name, net, loss(step), turns, after }.
local function train(players, options)
  local by_name, turns = {}, {}
  for i, player in ipairs(players) do
    by_name[player.name], turns[2 * i - 1], turns[2 * i] = player, player.name, player.turns or 1
    player.opt = optim.adamw(player.net, { beta1 = options.beta1, clip = 1 })
  end
  for step, name in flow.turns(options.steps, turns) do
    local player = by_name[name]
    player.opt.lr = optim.cosine(step, { peak = options.peak, warmup = 50, total = options.steps })
    update(player.opt, player.loss(step), step, options.steps)
    if player.after then player.after() end
  end
end

-- A network that has learned the velocity, as which students and generators start. Times are embedded by low
-- frequencies: short trainings learn a map that is smooth in time sooner.
-- - steps: of the training that follows, which one that is only tried keeps few.
local function beginner(set, steps)
  local net = nn.mlp { dim = 2, width = 64, depth = 3, frequency = 8 }
  local function loss()
    local t = riffle.rand(batch)
    local x = set.point(riffle.randn(batch, 2), t:unsqueeze(2))
    return (net(x, t) - set.teacher(x, t)):square():mean()
  end
  train({ { name = "beginner", net = net, loss = loss } }, { steps = math.min(steps, 400), peak = 5e-3 })
  return net
end

-- Those who learn in one round of a recipe.
local function players_of(recipe, options, set, student, online, teacher, round)
  if recipe.players then
    local players = recipe.players(student, online, set, batch)
    for _, player in ipairs(players) do
      local loss = player.loss
      function player.loss() return (loss(riffle.randn(batch, 2))) end
    end
    return players
  end
  local target = optim.ema(student, { decay = 0.99 })
  local function loss(step)
    local has_teacher = not recipe.from_data or step % 2 == 1
    local progress = step / options.steps
    return (recipe.loss(student, has_teacher and teacher or nil, set.sample(batch), target.model, progress, round))
  end
  return { { name = "student", net = student, loss = loss, after = function() target:update() end } }
end

-- The errors of the student's jumps: the root mean square distance, by axis and in deviations, of where a jump ends
-- from where the flow map ends; 1 is that of a collapse to the mean. Of samples, their sliced Wasserstein distance.
local function errors(student, set, measure)
  local z, jumps = riffle.randn(2000, 2), {}
  local function error_of(s, t)
    local from, to = riffle.full(#z, s), riffle.full(#z, t)
    local x = set.point(z, from:unsqueeze(2))
    local made = set.noise(x + (t - s) * student(x, from, to), to:unsqueeze(2))
    if measure == "samples" then return metrics.sliced_wasserstein(made, z) end
    return (made - z):square():mean():sqrt():item()
  end
  for i = 0, 3 do
    for j = i + 1, 4 do
      local s, t = i / 4, j / 4
      if measures[measure](s, t) then jumps[#jumps + 1] = { from = s, to = t, error = error_of(s, t) } end
    end
  end
  return jumps
end

local result = {
  __name = "check",
  __tostring = function(check)
    local what = check.measure == "samples" and "samples of one jump"
      or ("jump from %g to %g"):format(check.from, check.to)
    local verdict = check.ok and "within" or "NOT within"
    return ("%s: %s %g: error %.3g (%s)"):format(check.method, verdict, check.within, check.error, what)
  end,
}

-- Trains by a recipe and measures.
local function check(method, recipe, options)
  riffle.seed(options.seed)
  local start, set = riffle.clock(), gaussian()
  local net = beginner(set, options.steps)
  local student = net:two_timed()
  for round, teacher in flow.rounds(recipe.rounds or 1, set.teacher, student) do
    train(players_of(recipe, options, set, student, net:copy(), teacher, round), options)
  end
  local jumps = riffle.no_grad(errors, student, set, options.measure)
  local worst = jumps[1]
  for _, jump in ipairs(jumps) do
    if not (jump.error <= worst.error) then worst = jump end
  end
  return setmetatable({
    method = method, measure = options.measure, jumps = jumps, from = worst.from, to = worst.to, error = worst.error,
    within = options.within, ok = worst.error <= options.within, steps = options.steps,
    seconds = riffle.clock() - start,
  }, result)
end

local function names_of(list)
  local names = {}
  for name in pairs(list) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- The recipe of a method by its name, or of a loss; the latter is checked as the losses of students are.
local function recipe_of(method)
  if type(method) ~= "string" then
    if not internal.is_callable(method) or kind(method) == "network" then
      fail("riffle.flow.check: argument 1 'method' must be the name of a method or a loss, a function(student, "
        .. "teacher, x, target, progress), got " .. describe(method))
    end
    return "loss", { loss = method, within = 0.15 }
  end
  local other = internal.companions[method]
  if other then fail(("riffle.flow.check: '%s' is a part of '%s', which is checked with it"):format(method, other)) end
  local recipe = internal.recipes[method]
  if not recipe then
    fail(("riffle.flow.check: there is no method '%s'%s"):format(method, internal.suggest(method, internal.checked)))
  end
  return method, recipe
end

local fields = {
  seed = { "a whole number from 0 on", function(value) return math.type(value) == "integer" and value >= 0 end },
  steps = { "a whole number from 1 on", function(value) return math.type(value) == "integer" and value >= 1 end },
  within = { "a number above 0", function(value) return type(value) == "number" and value > 0 end },
  measure = {
    "one of " .. table.concat(names_of(measures), ", "), function(value) return measures[value] ~= nil end,
  },
}

-- The options as they hold: those given, else the recipe's, else the usual ones.
local function options_of(given, recipe)
  if given ~= nil and (type(given) ~= "table" or getmetatable(given)) then
    fail("riffle.flow.check: argument 2 'options' must be a table, got " .. describe(given))
  end
  for name, value in pairs(given or {}) do
    local field = fields[name]
    if not field then
      local hint = internal.suggest(tostring(name), names_of(fields))
      fail(("riffle.flow.check: there is no option '%s'%s"):format(tostring(name), hint))
    end
    if not field[2](value) then
      fail(("riffle.flow.check: option '%s' must be %s, got %s"):format(name, field[1], describe(value)))
    end
  end
  local options = { seed = 1, steps = 3000, peak = 3e-3, measure = "map" }
  for _, source in ipairs { recipe, given or {} } do
    for _, name in ipairs { "seed", "steps", "peak", "beta1", "measure", "within" } do
      if source[name] ~= nil then options[name] = source[name] end
    end
  end
  return options
end

define("flow.check", {
  summary = "Trains a small student on a Gaussian whose flow map is known, and says whether the loss led it there.",
  formula = "v(x, t) = m + a'(t) / a(t) (x - t m), X_{s,t}(x) = t m + a(t) / a(s) (x - s m)",
  arguments = {
    { "method", "string or function", "of riffle.flow.loss, or a loss(student, teacher, x, target, progress)" },
    { "options", "table", "seed, steps, within (the largest error that passes), and measure: which jumps", "nil" },
  },
  example = [[
> riffle.flow.check("kd", { steps = 300, within = 0.1 }).ok
true]],
}, function(method, given)
  local name, recipe = recipe_of(method)
  local options = options_of(given, recipe)
  if not internal.is_recording() then
    fail("riffle.flow.check: it trains a student, which it cannot inside riffle.no_grad")
  end
  local seed, draws, before = internal.random()
  return leaving(function() internal.set_random(seed, draws, before) end, enclosed(check, name, recipe, options))
end)
