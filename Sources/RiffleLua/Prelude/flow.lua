-- Loops for methods that alternate between networks or go in rounds.
local riffle, internal = ...
local _ENV = internal.lua
local define, expect, fail, describe = internal.define, internal.expect, internal.fail, internal.describe

-- Checks that an argument is an integer from 1 on.
-- - which: the argument's number and name, as messages write them.
local function whole(name, which, value)
  if math.type(value) ~= "integer" or value < 1 then
    fail(("%s: argument %s must be an integer from 1 on, got %s"):format(name, which, describe(value)))
  end
  return value
end

define("flow.turns", {
  summary = "Goes through steps in which networks take turns, such as FGM's online network and generator.",
  arguments = {
    { "steps", "integer", "how often all of them have their turns" },
    { "turns", "list", "names, each followed by its number of turns in a step" },
  },
  example = [[
> local order = {}
> for step, who in riffle.flow.turns(2, { "online", 2, "generator", 1 }) do order[#order + 1] = step .. who end
> table.concat(order, " ")
1online 1online 1generator 2online 2online 2generator]],
}, function(steps, turns)
  whole("riffle.flow.turns", "1 'steps'", steps)
  if type(turns) ~= "table" or #turns == 0 or #turns % 2 == 1 then
    local wanted = "riffle.flow.turns: argument 2 'turns' must be a list such as { \"online\", 5, \"generator\", 1 }"
    fail(wanted .. ", got " .. describe(turns))
  end
  local order = {}
  for index = 1, #turns, 2 do
    local name, item = turns[index], "2 'turns', item " .. index + 1
    if type(name) ~= "string" then
      fail("riffle.flow.turns: item " .. index .. " must be a name, got " .. describe(name))
    end
    for _ = 1, whole("riffle.flow.turns", item, turns[index + 1]) do order[#order + 1] = name end
  end
  local done, total = 0, steps * #order
  local function next_turn()
    if done == total then return nil end
    done = done + 1
    return (done - 1) // #order + 1, order[(done - 1) % #order + 1]
  end
  return setmetatable({}, { __call = next_turn, __len = function() return total end })
end)

define("flow.rounds", {
  summary = "Goes through rounds in which the last round's student is the teacher: for progressive methods and reflow.",
  arguments = {
    { "count", "integer", "the number of rounds" },
    { "teacher", "network", "the teacher of the first round" },
    { "student", "network", "a frozen copy of this network is the next teacher; usually the student's average" },
  },
  example = [[
> local net, rounds = riffle.nn.mlp { width = 32 }, 0
> for round, teacher in riffle.flow.rounds(3, net, net:two_timed()) do rounds = rounds + teacher:times() end
> rounds
5]],
}, function(count, teacher, student)
  whole("riffle.flow.rounds", "1 'count'", count)
  expect("flow.rounds", 2, "teacher", teacher, "network")
  expect("flow.rounds", 3, "student", student, "network")
  local round = 0
  return function()
    if round == count then return nil end
    round = round + 1
    if round > 1 then teacher = student:copy(true) end
    return round, teacher
  end
end)
