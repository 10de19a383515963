-- Functions that call a function in forward mode, without gradients, or in a scope of memory.
local _, internal = ...
local _ENV = internal.lua
local define, expect, fail, kind = internal.define, internal.expect, internal.fail, internal.kind
local describe = internal.describe
local enclosed, leaving = internal.enclosed, internal.leaving

local function is_tensor(value)
  local word = kind(value)
  return word == "tensor" or word == "parameter"
end

-- The value and the derivative of the first result, followed by the other results as they are.
local function split(level, ...)
  local y = ...
  if is_tensor(y) then
    local value, tangent = internal.split(level, y)
    return value, tangent, select(2, ...)
  end
  if type(y) ~= "table" then
    fail("riffle.jvp: the function must return a tensor or a list of tensors, got " .. describe(y))
  end
  local values, tangents = {}, {}
  for i, item in ipairs(y) do
    if not is_tensor(item) then fail(("riffle.jvp: result %d must be a tensor, got %s"):format(i, describe(item))) end
    values[i], tangents[i] = internal.split(level, item)
  end
  return values, tangents, select(2, ...)
end

define("jvp", {
  summary = "The value of a function and its derivative along a direction, by forward mode.",
  formula = "y = f(x), dy = (df/dx) dx",
  arguments = {
    { "fn", "function", "of a tensor, or of as many tensors as the list x holds" },
    { "x", "tensor or list of tensors", "the point" },
    { "dx", "tensor or list of tensors", "the direction, shaped like x" },
  },
  example = [[
> riffle.jvp(function(t) return t * t end, riffle.tensor { 3 }, riffle.tensor { 1 })
tensor float32 [1]: 9	tensor float32 [1]: 6]],
  source = "Griewank and Walther 2008, section 3.1",
}, function(fn, x, dx)
  expect("jvp", 1, "fn", fn, "function")
  local is_list = type(x) == "table"
  expect("jvp", 2, "x", x, is_list and "table" or "tensor")
  expect("jvp", 3, "dx", dx, is_list and "table" or "tensor")
  if not is_list then x, dx = { x }, { dx } end
  if #x ~= #dx then fail(("riffle.jvp: %d inputs but %d tangents"):format(#x, #dx)) end
  local level = internal.open_level()
  return leaving(function() internal.close_level(level) end, enclosed(function()
    local inputs = {}
    for i = 1, #x do
      if not is_tensor(x[i]) or not is_tensor(dx[i]) then
        fail(("riffle.jvp: item %d of x and dx must be tensors"):format(i))
      end
      inputs[i] = internal.dual(level, x[i], dx[i])
    end
    return split(level, fn(table.unpack(inputs)))
  end))
end)

define("no_grad", {
  summary = "Calls a function without recording for gradients, and returns what it returns.",
  arguments = { { "fn", "function" }, { "...", "any", "given to the function", "nil" } },
  example = [[
> local w = riffle.parameter(riffle.ones(1)); return riffle.no_grad(function() return w * 2 end)
tensor float32 [1]: 2]],
}, function(fn, ...)
  expect("no_grad", 1, "fn", fn, "function")
  local before = internal.recording(false)
  return leaving(function() internal.recording(before) end, enclosed(fn, ...))
end)

define("scope", {
  summary = "Calls a function and then frees every tensor made in it, except those that it returns or keeps with "
    .. "x:keep().",
  arguments = { { "fn", "function" }, { "...", "any", "given to the function", "nil" } },
  example = "> riffle.scope(function() return riffle.ones(2) * 3 end)\ntensor float32 [2]: 3 3",
}, function(fn, ...)
  expect("scope", 1, "fn", fn, "function")
  local number = internal.open_scope()
  return leaving(function(...) internal.close_scope(number, ...) end, enclosed(fn, ...))
end)

define("tensor:keep", {
  summary = "Takes the tensor out of the scopes that would free it, and returns it.",
  arguments = { { "x", "tensor" } },
  example = "> riffle.ones(1):keep()\ntensor float32 [1]: 1",
}, internal.keep)

define("tensor:free", {
  summary = "Frees the memory now; the tensor cannot be used afterwards. `local x <close> = ...` frees it at the "
    .. "end of a block.",
  arguments = { { "x", "tensor" } },
  example = "> riffle.ones(1):free()",
}, internal.free)
