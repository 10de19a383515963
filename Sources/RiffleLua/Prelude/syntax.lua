-- Tokens and statements of Lua, as far as entries of a session and completion need them. Lua's own parser decides
-- whether a source is Lua; of a source that it refuses the results here are a guess.
local _, internal = ...
local _ENV = internal.lua

local function set(words)
  local set = {}
  for word in words:gmatch("%S+") do set[word] = true end
  return set
end

local keywords = set [[
  and break do else elseif end false for function goto if in local nil not or repeat return then true until while
]]
internal.keywords = keywords

local symbols = { "...", "<<", ">>", "//", "==", "~=", "<=", ">=", "::", ".." }

-- The end of the long bracket that opens at `position`, and whether the source closes it; nil where none opens.
local function long_bracket(source, position)
  local level = source:match("^%[(=*)%[", position)
  if not level then return nil end
  local _, last = source:find("]" .. level .. "]", position + #level + 2, true)
  return last or #source, last ~= nil
end

-- The end of the quoted string that opens at `position`, and whether it is closed.
local function quoted(source, position)
  local quote = source:sub(position, position)
  while true do
    position = source:find('[\\"\'\n]', position + 1)
    if not position then return #source, false end
    local char = source:sub(position, position)
    if char == quote then return position, true end
    if char == "\n" then return position - 1, false end
    if char == "\\" then position = position + 1 end
  end
end

local function number_end(source, position)
  local exponent = source:find("^0[xX]", position) and "^[pP][+-]()" or "^[eE][+-]()"
  while true do
    local after = source:match(exponent, position)
    if not after and not source:find("^[%w_.]", position) then return position - 1 end
    position = after or position + 1
  end
end

-- The kind of the token at `position`, its last position, and whether it is closed; a comment is a token, too.
local function token_at(source, position)
  if source:find("^%-%-", position) then
    local last = long_bracket(source, position + 2)
    return "comment", last or (source:find("\n", position, true) or #source + 1) - 1, true
  end
  local last, closed = long_bracket(source, position)
  if last then return "string", last, closed end
  if source:find("^[\"']", position) then return "string", quoted(source, position) end
  if source:find("^%.?%d", position) then return "number", number_end(source, position), true end
  local _, name_end = source:find("^[%a_][%w_]*", position)
  if name_end then return keywords[source:sub(position, name_end)] and "keyword" or "name", name_end, true end
  for _, symbol in ipairs(symbols) do
    if source:sub(position, position + #symbol - 1) == symbol then return "symbol", position + #symbol - 1, true end
  end
  return "symbol", position, true
end

-- The tokens of a source, without comments: { kind, text, first, last, closed }.
function internal.tokens(source)
  local tokens, position = {}, source:find("%S")
  while position do
    local kind, last, closed = token_at(source, position)
    if kind ~= "comment" then
      local text = source:sub(position, last)
      tokens[#tokens + 1] = { kind = kind, text = text, first = position, last = last, closed = closed }
    end
    position = source:find("%S", last + 1)
  end
  return tokens
end

-- Tokens that follow an operand only where a new statement begins.
local begins = set "break do false for function goto if local nil not repeat return true while :: ... #"
-- Tokens that follow an operand as the arguments of its call, or where a new statement begins.
local begins_or_calls = set "( {"
-- Tokens that end an operand, as names, numbers and strings do; and those of them that close brackets.
local ends, closes = set ") ] } ... nil true false", set ") ] }"

-- The names that a local statement declares, from the token after `local` on.
local function declared(tokens, index)
  if tokens[index].text == "function" then return { { name = tokens[index + 1] and tokens[index + 1].text } } end
  local names = {}
  while tokens[index] and tokens[index].kind == "name" do
    local variable = { name = tokens[index].text }
    names[#names + 1] = variable
    index = index + 1
    if tokens[index] and tokens[index].text == "<" then
      variable.is_constant = true
      index = index + 3
    end
    if not tokens[index] or tokens[index].text ~= "," then break end
    index = index + 1
  end
  return names
end

-- The statements on the source's own level, found from the tokens, without the semicolons between them: { first, last,
-- locals }. A statement begins where Lua's grammar allows nothing else: behind a semicolon or a block, or where an
-- operand follows an operand and is no argument of a call.
function internal.statements(tokens)
  local statements, open, statement = {}, {}, nil
  -- Whether the next token begins a statement; whether an operand has just ended, and whether it can be called; whether
  -- the next `do` belongs to a loop.
  local fresh, operand, callable, in_header = true, false, false, false
  for index, token in ipairs(tokens) do
    local text, kind = token.text, token.kind
    local is_string, is_label_end = kind == "string", statement and statement.is_label and text == "::"
    if #open == 0 then
      local is_next = kind == "name" or kind == "number" or begins[text]
        or not callable and (is_string or begins_or_calls[text])
      if text == ";" then
        fresh, statement = true, nil
        goto continue
      elseif fresh or operand and is_next and not is_label_end and not (text == "do" and in_header) then
        statement = { first = token.first, is_label = text == "::" }
        statements[#statements + 1] = statement
        if text == "local" and tokens[index + 1] then statement.locals = declared(tokens, index + 1) end
        is_label_end, callable = false, false
      end
    end
    fresh, operand = false, kind == "name" or kind == "number" or is_string or ends[text]
    if text == "while" or text == "for" then
      in_header = in_header or #open == 0
    elseif text == "do" or text == "function" or text == "if" or text == "repeat" then
      local before = tokens[index - 1]
      local first = text == "function" and before and before.text == "local" and before or token
      open[#open + 1] = { is_value = text == "function" and not (#open == 0 and statement.first == first.first) }
      if text == "do" and #open == 1 then in_header = false end
    elseif text == "(" or text == "[" or text == "{" then
      open[#open + 1] = { callable = text ~= "{" or callable }
    elseif text == "end" then
      local block = table.remove(open)
      operand = block and block.is_value
      fresh = #open == 0 and not operand
    elseif text == "until" then
      table.remove(open)
    elseif is_label_end or text == "break" then
      fresh = #open == 0
    end
    if closes[text] then
      callable = (table.remove(open) or {}).callable
    elseif not is_string then
      callable = kind == "name"
    end
    if statement then statement.last = token.last end
    ::continue::
  end
  return statements
end

-- The source in one line, without its comments; nil where a string has several lines.
function internal.one_line(source)
  local parts, tokens = {}, internal.tokens(source)
  for index, token in ipairs(tokens) do
    if token.text:find("\n", 1, true) then return nil end
    if index > 1 and tokens[index - 1].last + 1 < token.first then parts[#parts + 1] = " " end
    parts[#parts + 1] = token.text
  end
  return table.concat(parts)
end
