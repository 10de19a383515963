-- riffle.progress: a loop that shows its progress.
local _, internal = ...
local _ENV = internal.lua
local define, describe, fail = internal.define, internal.describe, internal.fail
local guard, kind = internal.guard, internal.kind

local function length(iterable)
  local ok, count = pcall(function() return #iterable end)
  return ok and math.type(count) == "integer" and count or nil
end

-- Passes on the values for the loop's next turn; nil ends the loop.
local function pass(bar, step, first, ...)
  bar:advance(step)
  if first ~= nil then return first, ... end
  bar:finish()
end

define("progress", {
  summary = "Goes through a count or an iterable and shows step, rate, time left and the last loss on standard error.",
  arguments = {
    { "steps", "integer or iterable", "such as batches:take(n), or a list" },
    { "label", "string", "the text before the bar", "\"\"" },
  },
  example = "> local sum = 0; for step in riffle.progress(3) do sum = sum + step end; return sum\n6",
}, function(steps, label)
  if label ~= nil and type(label) ~= "string" then
    fail("riffle.progress: argument 2 'label' must be a string, got " .. describe(label))
  end
  label = label or ""
  if math.type(steps) == "float" and steps == math.floor(steps) then steps = math.tointeger(steps) end
  if type(steps) == "number" and (math.type(steps) ~= "integer" or steps < 0) then
    fail("riffle.progress: argument 1 'steps' must be an integer from 0 on, got " .. tostring(steps))
  end
  local bar, control, done
  if math.type(steps) == "integer" then
    bar = internal.progress(label, steps)
    control = function(_, step)
      return pass(bar, step, step < steps and step + 1 or nil)
    end
    return control, nil, 0, guard(function() bar:finish() end)
  end
  local iterate
  if kind(steps) == "tensor" then
    local rows = steps
    iterate = function(_, i)
      i = (i or 0) + 1
      if i <= #rows then return i, rows[i] end
    end
  elseif kind(steps) == "table" and not getmetatable(steps) or getmetatable(steps) == internal.list_metatable then
    local list = steps
    iterate = function(_, i)
      i = (i or 0) + 1
      if list[i] ~= nil then return i, list[i] end
    end
  elseif internal.is_callable(steps) then
    iterate = steps
  else
    fail("riffle.progress: argument 1 'steps' must be an integer or something to go through, got " .. describe(steps))
  end
  bar = internal.progress(label, length(steps))
  done = -1
  control = function(state, last)
    done = done + 1
    return pass(bar, done, iterate(state, last))
  end
  return control, nil, nil, guard(function() bar:finish() end)
end)
