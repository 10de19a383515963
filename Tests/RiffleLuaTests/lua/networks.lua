-- Networks in Lua that Swift calls, and errors that travel through both.
local riffle = require "riffle"
local nn, flow = riffle.nn, riffle.flow

local function scaled(scale)
  return nn.module {
    blocks = { nn.linear(2, 2), nn.linear(2, 2) },
    gain = riffle.parameter(riffle.ones(2)),
    scale = scale,
    twice = function(self, x) return x * self.scale end,
    forward = function(self, x, t)
      for _, block in ipairs(self.blocks) do x = block(x) end
      return self:twice(x) * self.gain
    end,
  }
end

riffle.seed(1)
local net = scaled(2)
assert(net:count() == 14 and net.scale == 2 and #net.blocks == 2 and net.blocks[2] == net.blocks[2])
local names = net:parameters()
assert(names["blocks.1.weight"] and names["blocks.2.bias"] and names["gain"] == net.gain)
local x, t = riffle.randn(3, 2), riffle.zeros(3)
local y = net(x, t)

-- A copy has parts of its own and shares the rest.
local copy = net:copy()
assert(copy.blocks[1] ~= net.blocks[1] and copy.scale == 2)
net.gain:assign(riffle.zeros(2))
assert((copy(x, t) - y):abs():max():item() == 0 and net(x, t):abs():max():item() == 0)

-- Swift calls it, and an error inside is the same object outside.
local mark = setmetatable({}, { __tostring = function() return "marked" end })
local failing = nn.module { forward = function() error(mark) end }
local ok, caught = pcall(function() return flow.ode(failing, x, { method = "euler", steps = 1 }) end)
assert(not ok and rawequal(caught, mark))

-- Lua, Swift, Lua, Swift, Lua.
local outer = nn.module {
  forward = function(self, x, t)
    flow.ode(copy, x, { method = "euler", steps = 1 })
    local ok, message = pcall(flow.ode, failing, x, { method = "euler", steps = 1 })
    assert(not ok and message == mark)
    return x
  end,
}
local moved = flow.ode(outer, x, { method = "euler", steps = 1 })
assert((moved - 2 * x):abs():max():item() < 1e-5)

-- What forward returns is checked.
local wrong = nn.module { forward = function() return "text" end }
ok, caught = pcall(flow.ode, wrong, x, { method = "euler", steps = 1 })
assert(not ok and caught:find("forward must return a tensor, got 'text'", 1, true), caught)
ok, caught = pcall(nn.module, { count = nn.linear(1, 1), forward = print })
assert(not ok and caught:find("a part cannot be named 'count'", 1, true), caught)
ok, caught = pcall(function() return net.blokcs end)
assert(not ok and caught:find("no method or field 'blokcs'", 1, true), caught)
