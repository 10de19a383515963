-- riffle.args: the options of a script, from the command line.
local riffle, internal = ...
local _ENV = internal.lua
local define, fail, describe = internal.define, internal.fail, internal.describe
local environment = _G

local kinds = {
  integer = { word = "a whole number", read = function(text) return math.tointeger(tonumber(text)) end },
  number = { word = "a number", read = function(text) local n = tonumber(text); return n == n and n or nil end },
  text = { word = "a text", read = function(text) return text end },
  path = { word = "a path", read = function(text) return text ~= "" and text or nil end },
  flag = { word = "true or false" },
}
local placeholders = { integer = "N", number = "X", text = "TEXT", path = "PATH", flag = "" }
local fields = { kind = true, help = true, required = true, choices = true }

-- The kind of an option whose default is a value; nil for values that no option has.
local function kind_of(value)
  if type(value) == "boolean" then return "flag" end
  if type(value) == "number" then return math.type(value) == "integer" and "integer" or "number" end
  return type(value) == "string" and "text" or nil
end

-- An option as the script declares it: a default, or a table with a default as its first item.
local function option(name, declared)
  local function wrong(problem) fail(("riffle.args: option '%s' %s"):format(name, problem)) end
  if type(name) ~= "string" or not name:find("^%a[%w_]*$") then
    fail("riffle.args: each option needs a name of letters, digits and _, got " .. describe(name))
  end
  local is_table = type(declared) == "table" and not getmetatable(declared)
  local entry = { name = name, word = "--" .. name:gsub("_", "-"), default = declared }
  if is_table then
    for key in pairs(declared) do
      if key ~= 1 and not fields[key] then
        local hint = internal.suggest(tostring(key), { "kind", "help", "required", "choices" })
        wrong(("has an unknown field '%s'"):format(tostring(key)) .. hint)
      end
    end
    entry.default, entry.help = declared[1], declared.help
    entry.is_required, entry.choices = declared.required, declared.choices
  end
  entry.kind = is_table and declared.kind or kind_of(entry.default)
  if not kinds[entry.kind] then
    wrong(entry.kind and "has an unknown kind, " .. describe(entry.kind)
      or "needs a default or a kind: integer, number, text, path or flag")
  end
  if entry.kind == "number" and entry.default ~= nil then entry.default = entry.default + 0.0 end
  if entry.is_required and entry.default ~= nil then wrong("is required, and has a default") end
  if entry.help ~= nil and type(entry.help) ~= "string" then wrong("has a help that is no text") end
  if entry.kind == "flag" and entry.default == nil then entry.default = false end
  if name == "resume" and entry.kind ~= "text" and entry.kind ~= "path" then
    wrong("is a text: latest, none or a path")
  end
  if entry.default ~= nil and entry.kind ~= "path" and kind_of(entry.default) ~= entry.kind then
    wrong(("is of the kind %s, and its default is %s"):format(entry.kind, describe(entry.default)))
  end
  local is_choice = not entry.choices or entry.default == nil
  for _, choice in ipairs(entry.choices or {}) do is_choice = is_choice or choice == entry.default end
  if not is_choice then wrong(("has a default that is none of its choices, %s"):format(describe(entry.default))) end
  return entry
end

-- Options of every script with a run; a script may declare resume itself.
local of_runs = {
  {
    name = "resume", word = "--resume", kind = "text", default = "latest",
    help = "latest, none to begin anew, or a checkpoint's path",
  },
  {
    name = "allow_changes", word = "--allow-changes", kind = "flag", default = false,
    help = "goes on with other options or another script",
  },
  {
    name = "test_run", word = "--test-run", kind = "flag", default = false,
    help = "makes one step, one checkpoint and one picture in RUN.test, and says what they cost",
  },
}

local function line(entry)
  local placeholder = entry.choices and table.concat(entry.choices, "|") or placeholders[entry.kind]
  local word = entry.kind == "flag" and entry.default and entry.word:gsub("^%-%-", "--no-") or entry.word
  local left = "  " .. word .. (placeholder ~= "" and " " .. placeholder or "")
  local default = entry.is_required and "required"
    or entry.default ~= nil and entry.kind ~= "flag" and internal.show(entry.default):gsub('^"(.*)"$', "%1") or nil
  local help = (entry.help or "") .. (default and (entry.help and " (%s)" or "(%s)"):format(default) or "")
  return #left < 28 and ("%-28s  %s"):format(left, help) or left .. "\n" .. (" "):rep(30) .. help
end

local function help(script, entries, more)
  local lines = { "riffle " .. script .. " [OPTIONS]", "" }
  for _, entry in ipairs(entries) do lines[#lines + 1] = line(entry) end
  lines[#lines + 1] = line { word = "--help", kind = "flag", help = "shows this" }
  if #more > 0 then
    lines[#lines + 1], lines[#lines + 2] = "", "Of scripts that make a run:"
    for _, entry in ipairs(more) do lines[#lines + 1] = line(entry) end
  end
  return table.concat(lines, "\n")
end

-- Raises an error that is the command line's, without a line of the script.
local function refuse(problem) error(problem .. " (--help lists the options)", 0) end

local function read(entry, text)
  local value = kinds[entry.kind].read(text)
  if value == nil then refuse(("%s needs %s, got '%s'"):format(entry.word, kinds[entry.kind].word, text)) end
  if entry.choices then
    for _, choice in ipairs(entry.choices) do
      if choice == value then return value end
    end
    refuse(("%s is one of %s, got '%s'"):format(entry.word, table.concat(entry.choices, ", "), text))
  end
  return entry.kind == "number" and value + 0.0 or value
end

-- Reads the words of the command line into values by name.
local function parse(words, known)
  local values, index = {}, 1
  while index <= #words do
    local word = words[index]
    local name, text = word:match("^%-%-([^=]+)=(.*)$")
    name = name or word:match("^%-%-(.+)$")
    if not name then refuse(("'%s' is no option; options begin with --"):format(word)) end
    local plain = name:gsub("%-", "_")
    local entry, value = known[plain], nil
    local is_denied = not entry and plain:find("^no_") and known[plain:sub(4)]
    if is_denied and is_denied.kind == "flag" then entry, value = is_denied, false end
    if not entry then
      local names = {}
      for _, other in pairs(known) do names[#names + 1] = other.word end
      refuse(("there is no option '--%s'%s"):format(name, internal.suggest("--" .. name, names)))
    end
    if values[entry.name] ~= nil then refuse(entry.word .. " is given twice") end
    if entry.kind == "flag" then
      if text then refuse(entry.word .. " takes no value") end
      if value == nil then value = true end
    else
      if not text then
        index = index + 1
        text = words[index] or refuse(entry.word .. " needs a value")
      end
      value = read(entry, text)
    end
    values[entry.name] = value
    index = index + 1
  end
  return values
end

define("args", {
  summary = "Reads the script's options from the command line, and answers --help with a list of them.",
  arguments = { {
    "options", "table",
    "by name: a default, or { default, help = text, kind = integer, number, text, path or flag, required = true, "
      .. "choices = { texts } }",
  } },
  example = [[
> local args = riffle.args { steps = 2000, lr = { 4e-4, help = "the learning rate" } }
> args.steps, args.lr
2000	0.0004]],
}, function(options)
  if type(options) ~= "table" or getmetatable(options) then
    fail("riffle.args: argument 1 'options' must be a table of options by name, got " .. describe(options))
  end
  local entries, known, more = {}, {}, {}
  for name, declared in pairs(options) do
    local entry = option(name, declared)
    entries[#entries + 1], known[entry.name] = entry, entry
  end
  table.sort(entries, function(a, b)
    if (a.is_required or false) ~= (b.is_required or false) then return a.is_required or false end
    return a.name < b.name
  end)
  for _, entry in ipairs(of_runs) do
    if not known[entry.name] then known[entry.name], more[#more + 1] = entry, entry end
  end
  local words = rawget(environment, "arg") or {}
  for _, word in ipairs(words) do
    if word == "--help" or word == "-h" then
      environment.print(help(words[0] or "SCRIPT", entries, more))
      environment.os.exit(0)
    end
  end
  local given, values = parse(words, known), {}
  for _, entry in ipairs(entries) do
    local value = given[entry.name]
    if value == nil then value = entry.default end
    if value == nil and entry.is_required then
      refuse(entry.word .. " is required" .. (entry.help and ": " .. entry.help or ""))
    end
    values[entry.name] = value
  end
  local is_test = given.test_run or false
  if is_test then
    for name, number in pairs { steps = 1, save_every = 1, samples = 8 } do
      if known[name] and known[name].kind == "integer" then values[name] = number end
    end
  end
  internal.run_options(given.resume or values.resume, given.allow_changes or false, is_test)
  return values
end)
