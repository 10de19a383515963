-- Entries of a session: typed or pasted code, the code of -e, and standard input. An entry sees the locals that entries
-- before it declared on their own level, and prints the value that it ends with.
local riffle, internal = ...
local _ENV = internal.lua
local getupvalue, stdout = debug.getupvalue, io.stdout

-- The session's locals by name: a function whose only upvalue is the variable, and whether that is constant.
local locals = {}
-- Names whose declaration ended with an error.
local unmade = {}

-- Makes the variables that a statement declared locals of the session. Later entries share the variables themselves
-- with the closures that the statement's entry made.
-- - read: returns the variables. All are its upvalues but those that Lua compiled to constants.
local function keep(declared, read)
  local indices, values, index = {}, table.pack(read()), 1
  while getupvalue(read, index) do
    indices[getupvalue(read, index)] = index
    index = index + 1
  end
  for number, variable in ipairs(declared) do
    local name, value = variable.name, values[number]
    -- Each variable has a holder of its own, so that one may become garbage before the others of its statement.
    local function holder() return value end
    if indices[name] then debug.upvaluejoin(holder, 1, read, indices[name]) end
    locals[name], unmade[name] = { holder = holder, is_constant = variable.is_constant }, nil
  end
end

local function value_of(cell) return cell.holder() end

-- The value of a session's name: a local, or else a global.
function internal.look_up(name)
  if locals[name] then return value_of(locals[name]) end
  return rawget(_G, name)
end

-- Calls body(name, value) for every local.
function internal.each_local(body)
  for name, cell in pairs(locals) do body(name, value_of(cell)) end
end

function internal.is_unmade(name) return unmade[name] end

local function write_line(text)
  internal.before_output()
  stdout:write(text, "\n")
  internal.after_output()
end

local function show(...)
  local shown = table.pack(...)
  for i = 1, shown.n do shown[i] = internal.show(shown[i]) end
  write_line(table.concat(shown, "\t"))
end

local function is_incomplete(message) return message and message:sub(-#"<eof>") == "<eof>" end

local function is_expression(text) return load("return " .. text, "=", "t") ~= nil end

-- The source with a call of `_riffle_keep` behind each declaration of locals. Where the entry prints, the source
-- returns its last expression, and prints expressions on earlier lines that are no statements.
local function instrumented(source, statements, prints)
  local parts, position = {}, 1
  for number, statement in ipairs(statements) do
    local text, following = source:sub(statement.first, statement.last), statements[number + 1]
    parts[#parts + 1] = source:sub(position, statement.first - 1)
    position = statement.last + 1
    local ends_line = following and source:sub(position, following.first - 1):find("[\n;]")
    if prints and is_expression(text) and (not following or ends_line and not load(text, "=", "t")) then
      text = following and "_riffle_show(" .. text .. ");" or "return " .. text
      if not following then position = #source + 1 end
    elseif statement.locals then
      local names = {}
      for i, variable in ipairs(statement.locals) do names[i] = variable.name end
      text = ("%s _riffle_keep(%d, function() return %s end);"):format(text, number, table.concat(names, ", "))
    end
    parts[#parts + 1] = text
  end
  return table.concat(parts) .. source:sub(position)
end

-- The function of an entry, whose upvalues are the session's locals; or nil and a message.
local function compile(body, tokens, statements, name)
  local words, header, mentioned = { "_riffle_keep", "_riffle_show" }, {}, {}
  for _, token in ipairs(tokens) do mentioned[token.text] = token.kind == "name" end
  for word, cell in pairs(locals) do
    if mentioned[word] then header[#header + 1] = word .. (cell.is_constant and " <const>" or "") end
  end
  table.sort(header)
  table.move(header, 1, #header, #words + 1, words)
  local head = "local " .. table.concat(words, ", ") .. " = ...; return function(...) "
    -- A function with a variable to close makes no tail calls, so that errors can show its lines.
    .. "local _riffle_lines <close> = nil; "
  local make, message = load(head .. body .. "\nend", name, "t")
  if not make then return nil, message end
  local entry = make(function(number, read) keep(statements[number].locals, read) end, show)
  local index = 1
  while getupvalue(entry, index) do
    local cell = locals[getupvalue(entry, index)]
    if cell then debug.upvaluejoin(entry, index, cell.holder, 1) end
    index = index + 1
  end
  return entry
end

-- Keeps results as _1, _2, ... and _, and prints them.
local function finish(is_silent, ...)
  local count = select("#", ...)
  if count == 0 then return "done" end
  for i = 1, count do rawset(_G, "_" .. i, (select(i, ...))) end
  rawset(_G, "_", (...))
  if not is_silent then show(...) end
  return "done"
end

-- Runs an entry and returns "done"; where the entry does not compile, returns "incomplete" or "wrong" and Lua's
-- message.
-- - prints: whether the entry prints the value that it ends with, which a script does not.
function internal.evaluate(source, name, prints, ...)
  local topic = prints and (source:match("^%s*%?%s*(.-)%s*$") or source:match("^%s*help%s*$") and "")
  if topic then
    write_line(topic == "" and riffle.help() or riffle.help(topic))
    return "done"
  end
  local tokens = internal.tokens(source)
  local statements = internal.statements(tokens)
  local body = instrumented(source, statements, prints)
  if not load(body, name, "t") then
    local as_it_is, problem = load(source, name, "t")
    local last = statements[#statements]
    local as_value = prints and last and select(2, load("return " .. source:sub(last.first), name, "t"))
    if is_incomplete(problem) or is_incomplete(as_value) then return "incomplete", problem end
    if not as_it_is then return "wrong", problem end
    body, statements = source, {}
  end
  local entry, message = compile(body, tokens, statements, name)
  if not entry then return "wrong", message end
  for _, statement in ipairs(statements) do
    for _, variable in ipairs(statement.locals or {}) do unmade[variable.name] = not locals[variable.name] or nil end
  end
  internal.programs[name], internal.entry = true, entry
  if not prints then
    entry(...)
    return "done"
  end
  return finish(#tokens > 0 and tokens[#tokens].text == ";", entry(...))
end

-- who(): the tensors and other objects among the session's variables.
function internal.who()
  local lines = {}
  local function add(name, value)
    if type(value) ~= "userdata" or not internal.word_of(value) or name:find("^_") then return end
    local kind, text = internal.kind(value), ""
    if kind == "tensor" or kind == "parameter" then
      local bytes, description = internal.bytes_of(value)
      text = ("%s, %d bytes"):format(description, bytes)
    end
    lines[#lines + 1] = ("%s: %s %s"):format(name, kind, text)
  end
  for name, value in pairs(_G) do
    if not locals[name] then add(name, value) end
  end
  internal.each_local(add)
  table.sort(lines)
  return table.concat(lines, "\n")
end

-- Defines the globals of a session beyond Lua's own.
function internal.open_session()
  rawset(_G, "riffle", riffle)
  rawset(_G, "help", riffle.help)
  rawset(_G, "who", internal.who)
  for _, namespace in ipairs { "nn", "flow", "optim", "data", "metrics", "image", "plot", "text" } do
    if rawget(riffle, namespace) then rawset(_G, namespace, riffle[namespace]) end
  end
end

-- Makes `require` search a script's folder first.
function internal.require_from(folder)
  if folder:find("[;?]") then
    -- In Lua's search path ";" and "?" have another meaning.
    table.insert(_G.package.searchers, 2, function(name)
      local path = folder .. "/" .. name:gsub("%.", "/")
      for _, file in ipairs { path .. ".lua", path .. "/init.lua" } do
        if io.open(file) then return assert(loadfile(file)), file end
      end
      return ("no file '%s.lua'"):format(path)
    end)
    return
  end
  local package = _G.package
  package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(folder, folder, package.path)
  package.cpath = ("%s/?.so;%s"):format(folder, package.cpath)
end
