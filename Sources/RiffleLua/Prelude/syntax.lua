-- Tokens and statements of Lua, as far as entries of a session and completion need them. Whether a source is Lua at all
-- is for Lua's own parser to say: what it refuses is read here as well as may be.
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

-- Where a long bracket ends that opens at `place`, and whether it does; nil where none opens.
local function long_bracket(source, place)
  local level = source:match("^%[(=*)%[", place)
  if not level then return nil end
  local _, last = source:find("]" .. level .. "]", place + #level + 2, true)
  return last or #source, last ~= nil
end

local function quoted(source, place)
  local quote = source:sub(place, place)
  while true do
    place = source:find('[\\"\'\n]', place + 1)
    if not place then return #source, false end
    local char = source:sub(place, place)
    if char == quote then return place, true end
    if char == "\n" then return place - 1, false end
    if char == "\\" then place = place + 1 end
  end
end

local function number_end(source, place)
  local exponent = source:find("^0[xX]", place) and "^[pP][+-]()" or "^[eE][+-]()"
  while true do
    local after = source:match(exponent, place)
    if not after and not source:find("^[%w_.]", place) then return place - 1 end
    place = after or place + 1
  end
end

-- The kind of the token at `place`, its last place, and whether it is closed; a comment is a token, too.
local function token_at(source, place)
  if source:find("^%-%-", place) then
    local last = long_bracket(source, place + 2)
    return "comment", last or (source:find("\n", place, true) or #source + 1) - 1, true
  end
  local last, closed = long_bracket(source, place)
  if last then return "string", last, closed end
  if source:find("^[\"']", place) then return "string", quoted(source, place) end
  if source:find("^%.?%d", place) then return "number", number_end(source, place), true end
  local _, name_end = source:find("^[%a_][%w_]*", place)
  if name_end then return keywords[source:sub(place, name_end)] and "keyword" or "name", name_end, true end
  for _, symbol in ipairs(symbols) do
    if source:sub(place, place + #symbol - 1) == symbol then return "symbol", place + #symbol - 1, true end
  end
  return "symbol", place, true
end

-- The tokens of a source, without comments: { kind, text, first, last, closed }.
function internal.tokens(source)
  local tokens, place = {}, source:find("%S")
  while place do
    local kind, last, closed = token_at(source, place)
    if kind ~= "comment" then
      tokens[#tokens + 1] = { kind = kind, text = source:sub(place, last), first = place, last = last, closed = closed }
    end
    place = source:find("%S", last + 1)
  end
  return tokens
end

-- Tokens that follow an operand only where a new statement begins; those that do so unless they are the arguments of a
-- call; and tokens that end an operand, beside names, numbers and strings.
local begins = set "break do false for function goto if local nil not repeat return true while :: ... #"
local begins_or_calls = set "( {"
local ends, closes = set ") ] } ... nil true false", set ") ] }"

-- The names that a local statement declares, from the token after `local` on.
local function declared(tokens, place)
  if tokens[place].text == "function" then return { { name = tokens[place + 1] and tokens[place + 1].text } } end
  local names = {}
  while tokens[place] and tokens[place].kind == "name" do
    local variable = { name = tokens[place].text }
    names[#names + 1] = variable
    place = place + 1
    if tokens[place] and tokens[place].text == "<" then
      variable.is_constant = true
      place = place + 3
    end
    if not tokens[place] or tokens[place].text ~= "," then break end
    place = place + 1
  end
  return names
end

-- The statements on the source's own level, without the semicolons between them: { first, last, locals }, by tokens
-- alone. A statement begins where Lua's grammar allows nothing else: behind a semicolon or a block, or where an operand
-- follows an operand and is no argument of its call.
function internal.statements(tokens)
  local statements, open, statement = {}, {}, nil
  -- Whether whatever comes next begins a statement; whether an operand ended, and can be called; whether `do` belongs
  -- to a loop.
  local fresh, operand, callable, in_header = true, false, false, false
  for place, token in ipairs(tokens) do
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
        if text == "local" and tokens[place + 1] then statement.locals = declared(tokens, place + 1) end
        is_label_end, callable = false, false
      end
    end
    fresh, operand = false, kind == "name" or kind == "number" or is_string or ends[text]
    if text == "while" or text == "for" then
      in_header = in_header or #open == 0
    elseif text == "do" or text == "function" or text == "if" or text == "repeat" then
      local before = tokens[place - 1]
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

-- The source in one line, without its comments; nil where a string goes over several.
function internal.one_line(source)
  local parts, tokens = {}, internal.tokens(source)
  for place, token in ipairs(tokens) do
    if token.text:find("\n", 1, true) then return nil end
    if place > 1 and tokens[place - 1].last + 1 < token.first then parts[#parts + 1] = " " end
    parts[#parts + 1] = token.text
  end
  return table.concat(parts)
end
