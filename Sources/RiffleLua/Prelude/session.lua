-- One entry of the interactive session: evaluates it and prints what it gives.
local riffle, internal = ...
local before_output = internal.before_output

local function is_incomplete(message) return message:sub(-#"<eof>") == "<eof>" end

-- Keeps results as _1, _2, ... and _, and prints them.
local function finish(is_silent, ...)
  local count = select("#", ...)
  if count == 0 then return "done" end
  for i = 1, count do rawset(_G, "_" .. i, (select(i, ...))) end
  rawset(_G, "_", (...))
  if not is_silent then
    local shown = {}
    for i = 1, count do shown[i] = internal.show((select(i, ...)), 0) end
    before_output()
    io.write(table.concat(shown, "\t"), "\n")
  end
  return "done"
end

-- "incomplete" where more lines are needed, else "done"; errors are raised.
function internal.evaluate(source)
  local topic = source:match("^%s*%?%s*(.-)%s*$")
  if topic then
    io.write(topic == "" and riffle.help() or riffle.help(topic), "\n")
    return "done"
  end
  local is_silent = source:find(";%s*$") ~= nil
  local expression = source:gsub(";%s*$", "")
  local chunk, as_value = load("return " .. expression, "=stdin", "t")
  if not chunk then
    local as_statement
    chunk, as_statement = load(source, "=stdin", "t")
    if not chunk then
      if is_incomplete(as_value) or is_incomplete(as_statement) then return "incomplete" end
      return "wrong", as_statement
    end
  end
  return finish(is_silent, chunk())
end

-- Names that may follow `text`: globals, fields of tables and members of objects, after the last dot or colon.
function internal.completions(text)
  local path, mark, start = text:match("^(.-)([.:]?)([%w_]*)$")
  local found, seen = {}, {}
  local function add(name)
    if type(name) == "string" and name:sub(1, #start) == start and name:find("^[%a_]") and not seen[name] then
      seen[name] = true
      found[#found + 1] = path .. mark .. name
    end
  end
  local function add_all(place)
    for name in next, place do add(name) end
  end
  if mark == "" then
    if path ~= "" then return found end
    add_all(_G)
    for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true until while"):gmatch("%a+") do
      add(word)
    end
  else
    local value = _G
    for name in path:gmatch("[%w_]+") do
      if type(value) == "table" then
        value = rawget(value, name)
      elseif type(value) == "userdata" then
        local ok, inner = pcall(function() return value[name] end)
        value = ok and inner or nil
      end
      if value == nil then return found end
    end
    if type(value) == "table" then add_all(value) end
    if type(value) == "string" then add_all(string) end
    if type(value) == "userdata" then
      for _, name in ipairs(internal.members_of(value)) do
        local is_method = type(rawget(internal.members[internal.word_of(value)], name)) == "function"
        if mark == "." or is_method then add(name) end
      end
    end
  end
  table.sort(found)
  return found
end

-- who(): the tensors and other objects among global variables.
function internal.who()
  local lines = {}
  for name, value in pairs(_G) do
    if type(value) == "userdata" and internal.word_of(value) and not name:find("^_") then
      local kind, text = internal.kind(value), ""
      if kind == "tensor" or kind == "parameter" then
        local bytes, description = internal.bytes_of(value)
        text = ("%s, %d bytes"):format(description, bytes)
      end
      lines[#lines + 1] = ("%s: %s %s"):format(name, kind, text)
    end
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

-- What a session has as globals, beyond Lua's own.
function internal.open_session()
  rawset(_G, "riffle", riffle)
  rawset(_G, "help", riffle.help)
  rawset(_G, "who", internal.who)
  for _, room in ipairs { "nn", "flow", "optim", "data", "metrics", "image", "plot" } do
    if rawget(riffle, room) then rawset(_G, room, riffle[room]) end
  end
end
