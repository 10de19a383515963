-- Holds two losses of your own, written in Lua, to a flow map that is known: MeanFlow from a teacher, and the same with
-- the wrong sign before its derivative, which trains without a complaint and collapses. Takes half a minute on two cores.
-- riffle check does the same for the methods that come with Riffle.
local riffle = require "riffle"
local flow = riffle.flow

local steps = riffle.args { steps = { 3000, help = "of each training" } }.steps

-- MeanFlow: the average velocity of a jump is the velocity at its start, and its length times how the average changes as
-- the start follows the flow.
-- - sign: 1; -1 is the mistake.
local function meanflow(sign)
  return function(student, teacher, x1)
    local n = #x1
    local a, b = riffle.rand(n), riffle.rand(n)
    local s, t = riffle.minimum(a, b), riffle.maximum(a, b)
    local x = (1 - s:unsqueeze(2)) * riffle.randn(n, 2) + s:unsqueeze(2) * x1

    local velocity = riffle.no_grad(teacher, x, s)
    local u, change = riffle.jvp(student, { x, s, t }, { velocity, riffle.ones(n), riffle.zeros(n) })
    local wanted = velocity + sign * (t - s):unsqueeze(2) * change
    return (u - wanted:detach()):square():mean()
  end
end

print("right", flow.check(meanflow(1), { steps = steps }))
print("wrong", flow.check(meanflow(-1), { steps = steps }))

-- In a test of your own: assert(result.ok, tostring(result)). The jumps that are off say where to look.
local result = flow.check(meanflow(-1), { steps = steps, seed = 2 })
for _, jump in ipairs(result.jumps) do
  print(("  from %.2f to %.2f  error %.2f"):format(jump.from, jump.to, jump.error))
end
