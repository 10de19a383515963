-- riffle.profile: the time of each operation.
local _, internal = ...
local _ENV = internal.lua
local define, expect = internal.define, internal.expect

define("profile", {
  summary = "Calls a function and returns a text, a table of its time: milliseconds, share and calls of each "
    .. "operation.",
  arguments = { { "fn", "function" }, { "...", "any", "given to the function", "nil" } },
  example = "> riffle.profile(function() return riffle.ones(2, 2):exp() end):match(\"exp\")\nexp",
}, function(fn, ...)
  expect("profile", 1, "fn", fn, "function")
  internal.start_profile()
  local report
  internal.leaving(function() report = internal.stop_profile() end, internal.enclosed(fn, ...))
  return report
end)
