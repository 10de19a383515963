-- Files of pairs: written in a stream, read by batches, there whole or not at all.
local riffle = require "riffle"
local fails = require "shared.fails"
local data = riffle.data

local function exists(path)
  local file = io.open(path)
  return file ~= nil and file:close()
end

-- A folder of its own, so that what is left over can be seen.
local folder = os.tmpname()
os.remove(folder)
assert(os.execute(("mkdir '%s'"):format(folder)))
local path = folder .. "/pairs"
local noise, x = riffle.randn(10, 2, 3), riffle.randn(10, 2, 3)
local labels = riffle.arange(1, 10):to "int32"

do
  local w <close> = data.pair_writer(path, { n = 10, shape = { 2, 3 }, labels = true })
  for first = 1, 10, 5 do
    local rows = riffle.arange(first, first + 4):to "int32"
    w:add(noise:take(rows), x:take(rows), labels:take(rows))
    assert(#w == first + 4 and w.n == 10)
  end
  assert(not exists(path))
  w:close()
  assert(exists(path))
end

local set = data.pairs(path)
assert(#set == 10 and set.labelled and tostring(set.shape) == "[2, 3]")
local seen = 0
for step, batch in set:batches { size = 4, shuffle = true, seed = 7 } do
  seen = seen + #batch.x
  assert(step <= 3 and (batch.x - x:take(batch.labels)):abs():max():item() == 0)
  assert((batch.noise - noise:take(batch.labels)):abs():max():item() == 0 and batch.y == nil)
end
assert(seen == 10)

-- A resumed run goes on with the batches that would have come.
local batches, again = set:batches { size = 3, repeat_ = true, shuffle = true }, set:batches { size = 3, repeat_ = true, shuffle = true }
local wanted
for step, batch in batches:take(5) do wanted = batch end
again.position = 12
local found
for _, batch in again:take(1) do found = batch end
assert((found.x - wanted.x):abs():max():item() == 0)

-- What was not finished leaves nothing, however it ends; an older file stays.
local before = #set
fails("boom", function()
  local w <close> = data.pair_writer(path, { n = 2, shape = { 1 } })
  w:add(riffle.ones(1, 1), riffle.ones(1, 1))
  error("boom")
end)
fails("was to have 2 pairs, and was closed with 1", function()
  local w <close> = data.pair_writer(path, { n = 2, shape = { 1 } })
  w:add(riffle.ones(1, 1), riffle.ones(1, 1))
  w:close()
end)
assert(#data.pairs(path) == before)
fails("was to have 2 pairs, and was closed with 1", function()
  local w <close> = data.pair_writer(path, { n = 2, shape = { 1 } })
  w:add(riffle.ones(1, 1), riffle.ones(1, 1))
end)
assert(#data.pairs(path) == before)

-- One that nobody closed puts its file in place, when all of its pairs are there: at the end of its scope, or as garbage.
for _, forget in ipairs { function(w) local w <close> = w end, function() end } do
  local function write()
    local w = data.pair_writer(path, { n = 2, shape = { 1 } })
    w:add(riffle.ones(2, 1), riffle.ones(2, 1))
    forget(w)
  end
  write()
  collectgarbage()
  assert(#data.pairs(path) == 2)
  os.remove(path)
end
local listing = assert(io.popen(("ls -A '%s'"):format(folder)))
assert(listing:read("a") == "", "parts are left over")
listing:close()

-- Mistakes.
local w = data.pair_writer(path, { n = 2, shape = { 1 } })
fails("noise and x must be batches of floats [n, 1] (noise float32 [2, 3], x float32 [2, 3])", function() w:add(riffle.ones(2, 3), riffle.ones(2, 3)) end)
fails("was begun without labels", function() w:add(riffle.ones(1, 1), riffle.ones(1, 1), riffle.tensor({ 1 }, "int32")) end)
fails("has space for 2 pairs: 0 are there, and 3 more were given", function() w:add(riffle.ones(3, 1), riffle.ones(3, 1)) end)
fails("argument 2 'n' must be an integer from 1 on, got nothing", function() data.pair_writer(path, { shape = { 1 } }) end)
fails("unknown option 'flip'", function() set:batches { size = 2, flip = true } end)
riffle.data.save(path, { x = x })
fails("expected pairs, the tensors noise and x and perhaps labels, found x", function() data.pairs(path) end)
w = nil
collectgarbage()
os.remove(path)
assert(os.remove(folder), "a forgotten writer leaves its part")
