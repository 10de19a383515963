-- Makes names that do not exist errors: functions that a namespace does not have, and globals in the user's own
-- programs that nothing declared. Files that a program requires or loads are ordinary Lua: many libraries look for
-- globals to find out where they run.
local riffle, internal = ...
local _ENV = internal.lua
local fail, getinfo = internal.fail, debug.getinfo

local function suggestion(name, namespace, more)
  for key in next, namespace do
    if type(key) == "string" and not key:find("^_") then more[#more + 1] = key end
  end
  return internal.suggest(tostring(name), more)
end

-- Globals of Lua 5.1, 5.2 and LuaJIT, by which programs recognise the version that runs them.
local of_other_luas = {}
for name in ("unpack loadstring setfenv getfenv module newproxy gcinfo jit bit bit32"):gmatch("%w+") do
  of_other_luas[name] = true
end

local declared = {}

local function missing(globals, name)
  if internal.is_unmade(name) then
    return ("there is no variable '%s': the entry that declares it ended with an error"):format(name)
  end
  local names = { "riffle" }
  internal.each_local(function(word) names[#names + 1] = word end)
  return ("there is no variable '%s'%s"):format(tostring(name), suggestion(name, globals, names))
end

setmetatable(_G, {
  __index = function(globals, name)
    if declared[name] or of_other_luas[name] then return nil end
    local reader = getinfo(2, "S")
    if reader and internal.programs[reader.source] then fail(missing(globals, name)) end
  end,
  __newindex = function(globals, name, value)
    local writer = getinfo(2, "Sf")
    if writer and internal.programs[writer.source] and writer.what ~= "main" and writer.func ~= internal.entry then
      fail(("assignment to '%s', which was not declared; write local %s = ..."):format(tostring(name), tostring(name)))
    end
    declared[name] = true
    rawset(globals, name, value)
  end,
})

-- Makes missing names of a namespace errors. Scripts may add names to it.
local function close(namespace, path)
  for name, value in next, namespace do
    if type(value) == "table" and not getmetatable(value) then close(value, path .. "." .. name) end
  end
  setmetatable(namespace, {
    __index = function(_, name)
      fail(("%s has no '%s'%s"):format(path, tostring(name), suggestion(name, namespace, {})))
    end,
    __tostring = function() return path end,
    __name = path,
  })
end

internal.collect_titles()
close(riffle, "riffle")
