-- Completion by Tab: names, members of tables and objects, and inside a call's table the call's options.
local _, internal = ...
local _ENV = internal.lua

-- A function that adds a name to `found`, with `head` before it, where the name begins with `start` and is new.
local function collector(found, start, head)
  local seen = {}
  return function(name)
    if type(name) == "string" and name:sub(1, #start) == start and name:find("^[%a_]") and not seen[name] then
      seen[name] = true
      found[#found + 1] = head .. name
    end
  end
end

local function member(value, name)
  if type(value) == "table" then return rawget(value, name) end
  if type(value) ~= "userdata" then return nil end
  local ok, inner = pcall(function() return value[name] end)
  return ok and inner or nil
end

-- The value of a path such as `riffle.memory` or `net`, or nil.
local function resolve(path)
  local value
  for name in path:gmatch("[%w_]+") do
    if value == nil then value = internal.look_up(name) else value = member(value, name) end
    if value == nil then return nil end
  end
  return value
end

local function add_members(value, mark, add)
  if type(value) == "string" then value = string end
  if type(value) == "table" then
    for name in next, value do add(name) end
  elseif type(value) == "userdata" then
    for _, name in ipairs(internal.members_of(value)) do
      local is_method = type(rawget(internal.members[internal.word_of(value)], name)) == "function"
      if mark == "." or is_method then add(name) end
    end
  end
end

-- The path that ends with the token at `index`, and whether the path calls a method.
local function path_before(tokens, index)
  local parts, is_method = {}, false
  while index > 0 and tokens[index].kind == "name" do
    table.insert(parts, 1, tokens[index].text)
    local mark = index > 1 and tokens[index - 1].text
    if mark ~= "." and mark ~= ":" then break end
    is_method = is_method or mark == ":"
    index = index - 2
  end
  return table.concat(parts, "."), is_method
end

-- The options of the call in whose table `tokens` end, or nil: a list for each, of its name and the words that it
-- takes.
local function open_options(tokens)
  local open = {}
  for index, token in ipairs(tokens) do
    local text = token.text
    if text == "(" or text == "[" or text == "{" then open[#open + 1] = index end
    if text == ")" or text == "]" or text == "}" then table.remove(open) end
  end
  local index = open[#open]
  if not index or tokens[index].text ~= "{" or index == 1 then return nil end
  local before = tokens[index - 1]
  if before.text == "(" or before.text == "," then
    index = open[#open - 1]
    if not index or tokens[index].text ~= "(" then return nil end
  end
  local path, is_method = path_before(tokens, index - 1)
  local title = internal.title_of(resolve(path))
  return title and internal.options_of(title, is_method)
end

-- The completions of `word`, the part of a path before the cursor. `before` is the entry before `word`.
function internal.completions(before, word)
  local found, tokens = {}, internal.tokens(before)
  local path, mark, start = word:match("^(.-)([.:]?)([%w_]*)$")
  local add = collector(found, start, path .. mark)
  local last = tokens[#tokens]
  if last and last.kind == "string" and not last.closed then
    local name, equals = tokens[#tokens - 2], tokens[#tokens - 1]
    local options = equals and equals.text == "=" and open_options(tokens)
    for _, option in ipairs(options or {}) do
      if option[1] == name.text then
        for i = 2, #option do add(option[i]) end
      end
    end
  elseif mark ~= "" then
    add_members(resolve(path), mark, add)
  elseif path == "" then
    local options = last and (last.text == "{" or last.text == ",") and open_options(tokens)
    for _, option in ipairs(options or {}) do add(option[1]) end
    if #found == 0 then
      internal.each_local(add)
      for name in next, _G do add(name) end
      for name in pairs(internal.keywords) do add(name) end
    end
  end
  table.sort(found)
  return found
end
