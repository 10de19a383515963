-- flow.check: which losses it passes, what it leaves alone, and what it says of those that cannot be trained by.
local riffle = require "riffle"
local flow = riffle.flow
local check = flow.check

local function raises(expected, ...)
  local ok, problem = pcall(...)
  assert(not ok and tostring(problem):find(expected, 1, true), "wanted: " .. expected .. "\ngot: " .. tostring(problem))
end

-- Every method has a check, or is a part of one.
for name in pairs(flow.loss) do
  local _, problem = pcall(check, name, { steps = 0 })
  assert(problem:find "option 'steps'" or problem:find "is a part of", name .. ": " .. tostring(problem))
end

local function column(t) return t:unsqueeze(2) end

-- Lagrangian distillation, and what goes wrong with it: { the derivative, what it is held to }, of a jump u from x at s
-- to y at t, whose end moves by dy, and of the teacher v.
local function lagrangian(moves, wanted, swaps)
  return function(student, v, x1)
    local n, a, b = #x1, riffle.rand(#x1), riffle.rand(#x1)
    local s, t = riffle.minimum(a, b), riffle.maximum(a, b)
    local x = (1 - column(s)) * riffle.randn(n, 2) + column(s) * x1
    local function average(t) return swaps and student(x, t, s) or student(x, s, t) end
    local y, dy = riffle.jvp(function(t) return x + column(t - s) * average(t) end, t, riffle.ones(n))
    local u = average(t)
    return (moves(u, dy) - wanted(v, x, s, y, t):detach()):square():mean()
  end
end
local function derivative(_, dy) return dy end
local function at_end(v, _, _, y, t) return v(y, t) end

-- A twelfth of the usual training tells right from wrong: errors are below 0.07, and above 0.4.
local right = check(lagrangian(derivative, at_end), { steps = 250 })
assert(right.ok and right.error < 0.1, tostring(right))
local wrong = {
  { "the average for the velocity", lagrangian(function(u) return u end, at_end) },
  { "the wrong sign", lagrangian(function(u, dy) return 2 * u - dy end, at_end) },
  { "the velocity at the start", lagrangian(derivative, function(v, x, s) return v(x, s) end) },
  { "times exchanged", lagrangian(derivative, at_end, true) },
  { "time backwards", lagrangian(derivative, function(v, _, _, y, t) return v(y, 1 - t) end) },
}
for seed, case in ipairs(wrong) do
  local result = check(case[2], { steps = 250, seed = seed })
  assert(not result.ok and tostring(result):find "NOT within 0.15", case[1] .. ": " .. tostring(result))
end

-- The script's random numbers go on as if there had been no check, and the seed decides the result.
local function zero(student, _, x) return student(x, riffle.zeros(#x), riffle.ones(#x)):square():mean() end
riffle.seed(7)
local expected = riffle.randn(4):tolist()
riffle.seed(7)
local once = check(zero, { steps = 2 })
raises("got nil", check, function() end, { steps = 2 })
local numbers = riffle.randn(4):tolist()
for i = 1, 4 do assert(numbers[i] == expected[i], "other random numbers") end
assert(check(zero, { steps = 2 }).error == once.error)
assert(check(zero, { steps = 2, seed = 2 }).error ~= once.error)

-- Losses that no training can follow.
raises("inside riffle.no_grad", riffle.no_grad, check, zero)
raises("must return a single number as a tensor, got 3", check, function() return 3 end, { steps = 5 })
local function constant(_, _, x) return x:square():mean() end
raises("in step 1 of 5: backward: the result does not depend on any trainable", check, constant, { steps = 5 })
raises("take its sum or mean first", check, function(student, _, x)
  return student(x, riffle.zeros(#x), riffle.ones(#x))
end, { steps = 5 })
local step = 0
raises("in step 3 of 5: step: the loss is not finite, it is nan", check, function(...)
  step = step + 1
  return zero(...) * (step == 3 and 0 / 0 or 1)
end, { steps = 5 })

-- Arguments.
raises("there is no method 'itmv', did you mean 'itvm'?", check, "itmv")
raises("'fgm_online' is a part of 'fgm'", check, "fgm_online")
raises("must be the name of a method or a loss", check, 3)
raises("there is no option 'step', did you mean 'steps'?", check, "lfmd", { step = 3 })
raises("option 'measure' must be one of ends, halves, jump, map", check, "lfmd", { measure = "maps" })
raises("option 'within' must be a number above 0, got 0", check, "lfmd", { within = 0 })
raises("argument 2 'options' must be a table, got 3", check, "lfmd", 3)
