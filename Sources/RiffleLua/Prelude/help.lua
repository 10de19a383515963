-- help(topic), where the topic is a name, or the function, object or table itself.
local riffle, internal = ...
local _ENV = internal.lua
local define, fail = internal.define, internal.fail

local titles = setmetatable({}, { __mode = "k" })

local function collect(namespace, path)
  titles[namespace] = path
  for name, value in pairs(namespace) do
    local inner = path == "" and name or path .. "." .. name
    if type(value) == "function" then titles[value] = inner end
    if type(value) == "table" and not titles[value] then collect(value, inner) end
  end
end

-- Called when all functions are defined.
function internal.collect_titles()
  for word, members in pairs(internal.members) do
    for name, value in pairs(members) do
      if type(value) == "function" then titles[value] = word .. ":" .. name end
    end
  end
  collect(riffle, "")
end

-- The title of a function, a namespace or an object's class in help; nil for other values.
function internal.title_of(value)
  return titles[value] or type(value) == "userdata" and internal.word_of(value) or nil
end

define("help", {
  summary = "Describes a function, a method, a class of objects or a namespace, given by name or as a value.",
  arguments = { { "topic", "any", "such as \"matmul\", \"flow\", \"tensor\" or riffle.matmul", "nil" } },
  example = "> riffle.help(riffle.version):match(\"[^\\n]+\")\nriffle.version()",
}, function(topic)
  if topic == nil then return internal.help() end
  if type(topic) == "string" then return internal.help(topic) end
  local title = internal.title_of(topic)
  if not title then fail("riffle.help: there is no help on this " .. type(topic)) end
  local method = title:match("^tensor:(.+)$")
  return internal.help(method and riffle[method] == topic and method or title)
end)
