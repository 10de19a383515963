-- Names that do not exist are errors: functions that a room does not have, and in the user's own programs globals that
-- nobody declared. Files that a program requires or loads are Lua as ever: many libraries ask for globals to learn
-- where they run.
local riffle, internal = ...
local _ENV = internal.lua
local fail, getinfo = internal.fail, debug.getinfo

local function suggestion(name, place, more)
  for key in next, place do
    if type(key) == "string" and not key:find("^_") then more[#more + 1] = key end
  end
  return internal.suggest(tostring(name), more)
end

-- Globals of Lua 5.1, 5.2 and LuaJIT, which tell what runs a program.
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

-- Rooms are tables, and may be added to.
local function close(place, path)
  for name, value in next, place do
    if type(value) == "table" and not getmetatable(value) then close(value, path .. "." .. name) end
  end
  setmetatable(place, {
    __index = function(_, name)
      fail(("%s has no '%s'%s"):format(path, tostring(name), suggestion(name, place, {})))
    end,
    __tostring = function() return path end,
    __name = path,
  })
end

internal.collect_titles()
close(riffle, "riffle")
