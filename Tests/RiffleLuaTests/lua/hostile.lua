-- What nobody should write, and what must not bring the process down.
local riffle = require "riffle"
local a = riffle.ones(2, 2)

-- Finalizers that call the library, also at the very end, and one that fails.
setmetatable({}, { __gc = function() return a + riffle.ones(2, 2) end })
lasting = setmetatable({}, { __gc = function() return a + riffle.ones(2, 2) end })
collectgarbage()

-- Error objects of every kind pass through.
local marks = { 1, true, {}, a, print }
for i = 1, #marks do
  local ok, caught = pcall(riffle.no_grad, function() error(marks[i]) end)
  assert(not ok and rawequal(caught, marks[i]))
end
local ok, caught = pcall(riffle.no_grad, function() error(nil) end)
assert(not ok and caught == nil)

-- Methods on strange things, and methods without their objects.
for _, receiver in ipairs { 1, "x", {}, print, io.stdout, coroutine.create(print) } do
  for _, name in ipairs { "sum", "shape", "free", "keep", "backward", "item" } do pcall(a[name], receiver, receiver) end
end
for name, fn in pairs(riffle) do
  if type(fn) == "function" and name ~= "progress" and name ~= "memory" and name ~= "threads" and name ~= "seed" and name ~= "nan_guard" then
    pcall(fn)
    pcall(fn, nil, nil, nil)
    pcall(fn, {}, {}, {})
    pcall(fn, a, "x", -1)
    pcall(fn, { a = 1 })
    pcall(fn, 0 / 0, 1e300, math.mininteger)
    pcall(fn, io.stdout)
  end
end

-- Recursion through the library ends with an error.
local function down() return riffle.jvp(function(x) return down() end, a, a) end
assert(not pcall(down))
local deep
deep = riffle.nn.module { forward = function(self, x) return riffle.flow.ode(deep, x, { method = "euler", steps = 1 }) end }
assert(not pcall(deep, a))

-- A table changed while its values are in use.
local parts = { a, a }
local changing = riffle.nn.module { forward = function(self, x) parts[1], parts[2] = nil, nil collectgarbage() return x end }
riffle.flow.ode(changing, a, { method = "euler", steps = 1 })

-- Many arguments and long texts.
ok, caught = pcall(riffle.ones, table.unpack({}, 1, 200))
assert(not ok)
ok, caught = pcall(riffle.ones, table.unpack(marks, 1, 250))
assert(not ok)
ok, caught = pcall(riffle.randn, 2, ("x"):rep(1e6))
assert(not ok and #caught < 300)

-- The session still works.
assert((a + a):sum():item() == 8)
