-- Identity, freeing, scopes and their errors.
local riffle = require "riffle"
local fails = require "shared.fails"

-- A parameter is one value in Lua, however it comes.
local w = riffle.parameter(riffle.ones(2))
local net = riffle.nn.module { w = w, forward = function(self, x) return x * self.w end }
assert(net.w == w and rawequal(net.w, w))
local seen = { [w] = true }
assert(seen[net.w])
assert(w.grad == nil and w.trainable)
local loss = (w * 3):sum()
loss:backward()
assert(w.grad[1]:item() == 3 and tostring(w):find("^parameter float32 %[2%]: 1 1"))
w.trainable = false
assert(not w.trainable)
fails("parameter.trainable: must be true or false, got 1", function() w.trainable = 1 end)
fails("parameter.grad: must be a tensor, got 1", function() w.grad = 1 end)

local x = riffle.ones(2)
x:free()
x:free()
fails("got a tensor that was freed", function() return x + 1 end)
do
  local y <close> = riffle.ones(2)
  x = y
end
fails("got a tensor that was freed", function() return x:sum() end)

-- A scope frees what was made in it, but for results and what is kept.
local leaked, kept
local a, t = riffle.scope(function()
  leaked = riffle.ones(3)
  kept = (leaked * 2):keep()
  return leaked + 1, { inner = leaked + 2 }
end)
assert(a[1]:item() == 2 and t.inner[1]:item() == 3 and kept[1]:item() == 2)
fails("released at the end of the scope begun on line 32", function() return leaked:sum() end)
local inner
riffle.scope(function()
  inner = riffle.scope(function() return riffle.ones(1) end)
  assert(inner:item() == 1)
end)
fails("released", function() return inner:item() end)
fails("boom", function() riffle.scope(function() leaked = riffle.ones(3) error("boom") end) end)
fails("released", function() return leaked:sum() end)

-- Modes come back after errors, also when a closing guard fails.
fails("boom", function() riffle.no_grad(function() error("boom") end) end)
w.trainable = true
w.grad = nil
loss = (w * 2):sum()
loss:backward()
assert(w.grad[1]:item() == 2)
fails("closing", function()
  riffle.no_grad(function()
    local guard <close> = setmetatable({}, { __close = function() error("closing") end })
    return w * 2
  end)
end)
local again = (w * 2):sum()
again:backward()
fails("only a single number has a gradient", function() (w * 2):backward() end)

-- Metatables are out of reach, and methods survive strange receivers.
assert(getmetatable(w) == false)
fails("must be called on a tensor", function() w.rank({}) end)
fails("must be called on a tensor", function() w.rank(io.stdout) end)

-- Coroutines may call everything.
local co = coroutine.wrap(function()
  for i = 1, 3 do coroutine.yield(riffle.ones(i):sum():item()) end
end)
assert(co() == 1 and co() == 2 and co() == 3)

-- A broadcast input lives until the kernel has read it.
for _ = 1, 200 do
  assert(tostring(riffle.where(riffle.tensor { 1, 0, 1 }, 7, 8)):find("7 8 7", 1, true))
  assert(tostring(riffle.where(riffle.ones(1, 3), 1, 0):reshape(3)):find("1 1 1", 1, true))
end

-- What was freed has no text either.
local freed = riffle.ones(2)
freed:free()
fails("a tensor is needed, got a tensor that was freed", function() return tostring(freed) end)

fails("a tensor is needed, got a tensor that was freed", function() return freed[1] end)

-- Coroutines end, fail and close as Lua's own do.
local closed = {}
local failing = coroutine.wrap(function(...)
  local mark <close> = setmetatable({}, { __close = function() closed[#closed + 1] = true end })
  local got = coroutine.yield(...)
  error({ got })
end)
assert(select("#", failing(1, nil, 3)) == 3)
local _, raised = pcall(failing, "x")
assert(raised[1] == "x" and #closed == 1)
fails("cannot resume dead coroutine", failing)
local thread = coroutine.create(function(...) return select("#", coroutine.yield(...)), nil end)
assert(select("#", coroutine.resume(thread, 1, 2)) == 3)
local ok, count, last = coroutine.resume(thread, nil, nil)
assert(ok and count == 2 and last == nil and coroutine.status(thread) == "dead")
assert(not coroutine.resume(thread))
fails("coroutine expected", coroutine.resume, 1)

-- One profile inside another: the outer one counts both.
local outer = riffle.profile(function()
  local inner = riffle.profile(function() riffle.ones(2):exp() end)
  assert(inner:find "1  exp")
  riffle.ones(2):log()
end)
assert(outer:find "1  exp" and outer:find "1  log" and outer:find "%% *elsewhere")

-- What belongs to others has no word of ours.
local log = riffle.nn.module { log = io.stderr, forward = function(self, x) return x end }
assert(log.log == io.stderr)
fails("there is no help on this userdata", riffle.help, io.stdout)
