-- Functions that the other files use: guards, documentation, descriptions of values in messages, printable lists.
local riffle, internal = ...

-- Lua's own functions from before scripts run, which may assign other values to their names. Each file of the prelude
-- takes its globals from here.
internal.lua = {}
for name, value in pairs(_G) do
  local copy = value
  if type(value) == "table" and value ~= _G then
    copy = {}
    for key, item in pairs(value) do copy[key] = item end
  end
  internal.lua[name] = copy
end
local _ENV = internal.lua

local format = internal.format

-- An object that calls `finish` when its scope ends, be it by an error.
local guarded = { __close = function(guard) guard.finish() end }
function internal.guard(finish) return setmetatable({ finish = finish }, guarded) end

-- Takes the results of internal.enclosed: calls `leave` with them and returns them; after an error calls `leave`
-- without any and raises the error again. A guard would stay open in a coroutine that fails.
function internal.leaving(leave, ok, ...)
  if not ok then
    leave()
    error((...), 0)
  end
  leave(...)
  return ...
end

-- `body` with a check of the number of arguments: more than the documentation lists are an error.
local function counted(path, doc, body)
  local most = #doc.arguments
  if most > 0 and doc.arguments[most][1] == "..." then return body end
  return function(...)
    local given = select("#", ...)
    if given > most then
      local arguments = most == 1 and "argument" or "arguments"
      internal.fail(("riffle.%s: takes at most %d %s, got %d"):format(path, most, arguments, given))
    end
    return body(...)
  end
end

-- Defines a function by its path below `riffle`, or as a method `word:name`, and documents it.
function internal.define(path, doc, body)
  local word, method = path:match("^([%w_]+):([%w_]+)$")
  if word then
    internal.members[word][method] = body
  else
    local namespace = riffle
    for name in path:gmatch("([%w_]+)%.") do
      namespace[name] = rawget(namespace, name) or {}
      namespace = namespace[name]
    end
    namespace[path:match("[%w_]+$")] = counted(path, doc, body)
  end
  internal.document(path, doc)
end

-- The type of a value, or the word for its class.
function internal.kind(value)
  return type(value) == "userdata" and internal.word_of(value) or type(value)
end

-- A value in a few words, for messages.
function internal.describe(value)
  local kind = internal.kind(value)
  if kind == "nil" or kind == "boolean" then return tostring(value) end
  if kind == "number" then return value == value and tostring(value) or "nan" end
  if kind == "string" then return #value <= 40 and "'" .. value .. "'" or ("a string of %d bytes"):format(#value) end
  if kind == "table" and not getmetatable(value) then
    if next(value) == nil then return "an empty table" end
    return #value > 0 and next(value, #value) == nil and "a list of " .. #value or "a table"
  end
  local shape = (kind == "tensor" or kind == "parameter") and select(2, internal.bytes_of(value)):match("%[.*")
  local article = kind ~= "userdata" and kind:find("^[aeiou]") and "an" or "a"
  return ("%s %s%s"):format(article, kind:gsub("_", " "), shape and " " .. shape or "")
end

-- Raises an error where an argument is not of the wanted kind.
function internal.expect(title, number, name, value, kind)
  local got = internal.kind(value)
  if got == kind or kind == "tensor" and got == "parameter" then return end
  local meta = getmetatable(value)
  local is_called = got == "network" or got == "module" or type(meta) == "table" and meta.__call
  if kind == "function" and is_called then return end
  local article = kind:find("^[aeiou]") and "an" or "a"
  local wanted = ("riffle.%s: argument %d '%s' must be %s %s"):format(title, number, name, article, kind)
  internal.fail(wanted .. ", got " .. internal.describe(value))
end

-- A value as text for printing: lists and tables by their contents, up to a depth and a total number of values.
-- - around: the tables around the value, and under "remaining" the number of values that may still be printed.
local function show(value, depth, around)
  if type(value) == "string" and depth > 0 then return ("%q"):format(value) end
  if value ~= value then return "nan" end
  if type(value) ~= "table" then return tostring(value) end
  local meta = getmetatable(value)
  local is_ours = meta == internal.list_metatable or meta == internal.table_metatable
  if type(meta) == "table" and not is_ours and meta.__tostring then
    return tostring(value)
  end
  if depth > 6 or around[value] then return "..." end
  around[value] = true
  local parts, count = {}, #value
  local function is_allowed()
    around.remaining = around.remaining - 1
    return around.remaining >= 0
  end
  for i = 1, math.min(count, 100) do
    if is_allowed() then parts[i] = show(value[i], depth + 1, around) end
  end
  if count > #parts then parts[#parts + 1] = "... " .. count - #parts .. " more" end
  local names = {}
  for key in pairs(value) do
    if not (math.type(key) == "integer" and key >= 1 and key <= count) then names[#names + 1] = key end
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for index, key in ipairs(names) do
    if not is_allowed() then
      parts[#parts + 1] = "... " .. #names - index + 1 .. " more"
      break
    end
    local is_name = type(key) == "string" and key:find("^[%a_][%w_]*$")
    local name = is_name and key or "[" .. show(key, depth + 1, around) .. "]"
    parts[#parts + 1] = name .. " = " .. show(value[key], depth + 1, around)
  end
  around[value] = nil
  if #names == 0 then return "[" .. table.concat(parts, ", ") .. "]" end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function shown(value) return show(value, 0, { remaining = 1000 }) end
internal.show = shown

-- Lists and tables that the library returns print as their contents.
internal.list_metatable.__tostring, internal.list_metatable.__name = shown, "list"
internal.table_metatable.__tostring, internal.table_metatable.__name = shown, "table"

-- Lua's print, which also clears the line of a progress bar before, and notes lost output afterwards.
local print_line, before_output, after_output = print, internal.before_output, internal.after_output
function _G.print(...)
  before_output()
  print_line(...)
  after_output()
end

-- Lua's os.exit, which also settles unfinished files: an exit that loses a file has an exit code other than 0.
local exit, settle = os.exit, internal.settle
local is_code = { ["nil"] = true, boolean = true, number = true }
function _G.os.exit(code, ...)
  if not is_code[type(code)] then
    internal.fail("os.exit: argument 1 'code' must be true, false or a number, got " .. internal.describe(code))
  end
  if not settle() and (code == nil or code == true or code == 0) then code = 1 end
  return exit(code, ...)
end

-- Lua's ipairs, which also goes through a tensor's rows and stops after the last, where x[#x + 1] is an error.
local list_pairs = ipairs
local function next_row(x, i)
  if i < #x then return i + 1, x[i + 1] end
end
function _G.ipairs(value)
  local kind = type(value) == "userdata" and internal.word_of(value)
  if kind == "tensor" or kind == "parameter" then return next_row, value, 0 end
  return list_pairs(value)
end

local table_pairs = pairs
function _G.pairs(value)
  local kind = type(value) == "userdata" and internal.word_of(value)
  if kind == "tensor" or kind == "parameter" then
    internal.fail("pairs: a tensor has no keys; ipairs goes through its rows")
  end
  return table_pairs(value)
end

package.preload.riffle = function() return riffle end
