-- Loops for methods that go in rounds.
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
