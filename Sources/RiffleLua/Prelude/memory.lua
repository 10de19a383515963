-- What memory is in use, and how much a function needs.
local riffle, internal = ...
local _ENV = internal.lua
local define, expect, readable = internal.define, internal.expect, internal.readable

-- The statistics of memory print with their numbers of bytes in units, too.
local stats_metatable = {
  __name = "memory_stats",
  __tostring = function(stats)
    local lines = {}
    for _, name in ipairs { "live", "peak", "cached", "limit", "cache_limit" } do
      lines[#lines + 1] = ("%-11s  %10s  %d"):format(name, readable(stats[name]), stats[name])
    end
    return table.concat(lines, "\n")
  end,
}
local memory_stats = riffle.memory.stats
function riffle.memory.stats(...) return setmetatable(memory_stats(...), stats_metatable) end

local estimate_metatable = {
  __name = "memory_estimate",
  __tostring = function(estimate)
    return ("%s at most: %s beyond what was there before, of which %s stay"):format(
      readable(estimate.total), readable(estimate.peak), readable(math.max(estimate.kept, 0)))
  end,
}

define("memory.estimate", {
  summary = "Calls a function once, with all its effects, and returns the tensor memory that this took, in bytes: "
    .. "total, peak and kept.",
  formula = "total = memory before + peak; kept = memory after - memory before, both after collecting garbage",
  arguments = { { "fn", "function", "such as a step of training" }, { "...", "any", "given to the function", "nil" } },
  example = [[
> local need = riffle.memory.estimate(function() return riffle.ones(1000, 1000):exp():sum() end)
> need.peak >= 8e6, need.kept
true	0]],
}, function(fn, ...)
  expect("memory.estimate", 1, "fn", fn, "function")
  collectgarbage()
  riffle.memory.reset_peak()
  local before = memory_stats().live
  local total
  internal.leaving(function() total = memory_stats().peak end, internal.enclosed(fn, ...))
  collectgarbage()
  local kept = memory_stats().live - before
  return setmetatable({ total = total, peak = total - before, kept = kept }, estimate_metatable)
end)
