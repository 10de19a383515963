-- Names that do not exist are errors: globals that nobody declared, and functions that a room does not have.
local riffle, internal = ...
local fail = internal.fail

local function suggestion(name, place, ...)
  local names = { ... }
  for key in next, place do
    if type(key) == "string" and not key:find("^_") then names[#names + 1] = key end
  end
  if #tostring(name) < 3 then return "" end
  return internal.suggest(tostring(name), names)
end

local declared = {}

setmetatable(_G, {
  __metatable = false,
  __index = function(globals, name)
    if declared[name] then return nil end
    fail(("there is no variable '%s'%s"):format(tostring(name), suggestion(name, globals, "riffle")))
  end,
  __newindex = function(globals, name, value)
    local caller = debug.getinfo(2, "S")
    if caller and caller.what ~= "main" and caller.what ~= "C" then
      fail(("assignment to '%s', which was not declared; write local %s = ..."):format(tostring(name), tostring(name)))
    end
    declared[name] = true
    rawset(globals, name, value)
  end,
})

-- Rooms are tables, and may be added to.
local function close(place, path)
  for name, value in next, place do
    if type(value) == "table" and not getmetatable(value) then close(value, path .. "." .. name) end
  end
  setmetatable(place, {
    __index = function(_, name)
      fail(("%s has no '%s'%s"):format(path, tostring(name), suggestion(name, place)))
    end,
    __tostring = function() return path end,
    __name = path,
  })
end

internal.collect_titles()
close(riffle, "riffle")
