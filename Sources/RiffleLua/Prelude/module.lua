-- Networks written in Lua.
local _, internal = ...
local _ENV = internal.lua
local define, fail, kind, describe = internal.define, internal.fail, internal.kind, internal.describe

-- The classes of a network's parts.
local is_part = { module = true, network = true, loss_weight = true, parameter = true }

-- Whether a value is a part of a network, or a table with parts in it.
-- - around: the tables around the value.
local function has_parts(value, around)
  local word = kind(value)
  if is_part[word] then return true end
  if word ~= "table" then return false end
  if around[value] then fail("riffle.nn.module: a table of the definition contains itself") end
  around[value] = true
  local has = false
  for _, item in pairs(value) do has = has_parts(item, around) or has end
  around[value] = nil
  return has
end

define("nn.module", {
  summary = "A network of your own: parts, parameters and plain fields by name, and a function forward(self, ...).",
  arguments = { {
    "definition", "table",
    "parts may be in tables; forward(self, x, t), or forward(self, x, s, t) with times = 2; labels follow with "
      .. "classes = n, one more for none with null_class = true",
  } },
  example = [[
> local function forward(self, x, t) return x * self.w end
> local net = riffle.nn.module { w = riffle.parameter(riffle.ones(2)), forward = forward }
> net(riffle.ones(1, 2), riffle.zeros(1))
tensor float32 [1, 2]:
         1         1]],
}, function(definition)
  if type(definition) ~= "table" then
    fail("riffle.nn.module: argument 1 'definition' must be a table, got " .. describe(definition))
  end
  if type(definition.forward) ~= "function" then
    fail("riffle.nn.module: the table needs a function forward(self, x, t), got " .. describe(definition.forward))
  end
  local times, classes, null_class = definition.times or 1, definition.classes, definition.null_class or false
  if times ~= 1 and times ~= 2 then fail("riffle.nn.module: times must be 1 or 2, got " .. describe(times)) end
  if classes and not (math.type(classes) == "integer" and classes >= 1) then
    fail("riffle.nn.module: classes must be an integer from 1 on, got " .. describe(classes))
  end
  if type(null_class) ~= "boolean" or null_class and not classes then
    fail("riffle.nn.module: null_class must be true or false, and true only with classes, got " .. describe(null_class))
  end
  local parts, plain = {}, {}
  for name, value in pairs(definition) do
    if type(name) ~= "string" then
      fail("riffle.nn.module: every field needs a name, got [" .. tostring(name) .. "]")
    end
    if not has_parts(value, { [definition] = true }) then
      plain[name] = value
    elseif rawget(internal.members.module, name) then
      fail(("riffle.nn.module: a part cannot be named '%s', every module has a method of that name"):format(name))
    else
      parts[name] = value
    end
  end
  return internal.new_module(internal.reference(plain), parts, definition.forward, times, classes, null_class)
end)
