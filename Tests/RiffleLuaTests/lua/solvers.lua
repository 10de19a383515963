-- Solvers and the likelihood: what they give, and options that do not go together.
local riffle = require "riffle"
local flow = riffle.flow

local function says(expected, fn)
  local ok, message = pcall(fn)
  assert(not ok and message:find(expected, 1, true), ("wanted: %s\ngot: %s"):format(expected, tostring(message)))
end

-- dx/dt = x: e^t along the way, and N(0, e^2) at 1.
local grow = riffle.nn.module { forward = function(self, x, t) return x * 1 end }
local x = riffle.ones(3, 1)
local y, info = flow.ode(grow, x, { method = "rk4", steps = 20 })
assert(math.abs(y[1]:item() - math.exp(1)) < 1e-5 and info.nfe == 80 and #info.times == 21 and info.rejected == 0)
y = flow.ode(grow, x, { method = "dopri5", from = 1, to = 0, rtol = 1e-6 })
assert(math.abs(y[1]:item() - math.exp(-1)) < 1e-4)
y, info = flow.ode(grow, x, { times = { 0, 0.5, 1 } })
assert(info.nfe == 4)

-- States on the way: of a grid, at times that dopri5 is given, or at its own steps.
local times = riffle.linspace(0, 1, 5)
for _, method in ipairs { "rk4", "dopri5" } do
  local states, about = flow.ode(grow, x, { method = method, times = times, trajectory = true, rtol = method == "dopri5" and 1e-6 or nil })
  assert(states:shape()[1] == 5 and states:rank() == 3 and #about.times == 5)
  assert((states:slice(2, 1, 1):reshape(5) - times:exp()):abs():max():item() < 1e-3)
end
local states, about = flow.ode(grow, x, { method = "dopri5", trajectory = true, from = 1, to = 0.5 })
assert(#states == #about.times and about.times[1] == 1 and about.times[#states] == 0.5)
assert((states[#states] - flow.ode(grow, x, { method = "dopri5", from = 1, to = 0.5 })):abs():max():item() == 0)
assert(#flow.ode(grow, x, { method = "dopri5", times = { 0, 0.25 } }) == 3)

local exact = -0.5 * math.exp(-2) - 0.5 * math.log(2 * math.pi) - 1
for _, options in ipairs { {}, { rtol = 1e-6, atol = 1e-6 }, { steps = 20 }, { method = "rk4", times = { 1, 0.7, 0.4, 0 } }, { probes = 2 } } do
  local density, about = flow.log_likelihood(grow, x, options)
  assert(#density == 3 and density:rank() == 1 and math.abs(density[2]:item() - exact) < 1e-3, density)
  assert(math.abs(about.latent[1][1]:item() - math.exp(-1)) < 1e-3 and about.nfe > 0)
end

says("riffle.flow.log_likelihood: option 'probes' must be an integer from 1 to 1000000, got 0", function() flow.log_likelihood(grow, x, { probes = 0 }) end)
says("flow.log_likelihood: steps is not for dopri5, which finds its own steps; give rtol, atol", function()
  flow.log_likelihood(grow, x, { method = "dopri5", steps = 4 })
end)
says("flow.log_likelihood: rtol is for dopri5 alone; heun takes steps or times", function() flow.log_likelihood(grow, x, { steps = 4, rtol = 1 }) end)
says("log_likelihood: times must fall from 1, the data, to 0, the noise, got 0, 1", function() flow.log_likelihood(grow, x, { times = { 0, 1 } }) end)
says("log_likelihood: x must be a batch [n, ...] of floats (x float32 [3])", function() flow.log_likelihood(grow, riffle.ones(3)) end)
says("must be a finite number, got inf", function() flow.ode(grow, x, { steps = 1, to = math.huge }) end)
says("times must be from 0, noise, to 1, data; got 1.0000001", function() flow.ode(grow, x, { steps = 1, to = 1.0000001 }) end)
says("must be a number from 0 to 1, got 1.0000001", function() flow.guide(grow, { scale = 2, to = 1.0000001 }) end)
says("flow.ode: give steps or times, one of the two", function() flow.ode(grow, x) end)
says("flow.ode: give steps or times, not both", function() flow.ode(grow, x, { steps = 1, times = { 0, 1 } }) end)
says("flow.ode: steps is not for dopri5, which finds its own steps; give times, from, to, rtol, atol", function() flow.ode(grow, x, { method = "dopri5", steps = 1 }) end)
says("'times' must be a list of numbers, or a tensor of them, got a tensor [2, 2]", function() flow.ode(grow, x, { times = riffle.zeros(2, 2) }) end)
says("flow.ode: from does not go with times", function() flow.ode(grow, x, { times = { 0, 1 }, from = 0 }) end)
