-- Optimizers and averages from the front door.
local riffle = require "riffle"
local fails = require "shared.fails"
local nn, optim = riffle.nn, riffle.optim
local function list(x) return table.concat(x:reshape(-1):tolist(), " ") end

-- A gradient of another type is converted; a parameter that is listed twice is updated once.
local p = riffle.parameter(riffle.tensor { 6, 8 })
p.grad = riffle.tensor({ 1, 2 }, "float64")
optim.sgd({ p, p }, { lr = 1 }):step()
assert(list(p) == "5.0 6.0")

-- Parameters that are frozen when the optimizer is made are updated once they are thawed.
local w = riffle.parameter(riffle.ones(1))
p.trainable = false
local opt = optim.sgd({ p, w }, { lr = 1 })
p.trainable = true
opt:step((p + w):sum())
assert(list(p) == "4.0 5.0")

local net = nn.mlp { width = 8 }
assert(tostring(optim.adamw(net:parameters())) == tostring(optim.adamw(net)))
fails("nesterov is a form of momentum, which is 0", optim.sgd, net, { lr = 0.1, nesterov = true })
fails("got a list of 2 with something else in it", optim.adamw, { net, 3 })

-- What a loss returns behind itself goes through a step as itself.
local parts = setmetatable({ print }, { __name = "mine" })
assert(rawequal(opt:step((p + w):sum(), parts).parts, parts))

-- A loss that is not finite is refused before its tape is spent.
local broken = (p * (0 / 0)):sum()
for _ = 1, 2 do fails("the loss is not finite, it is nan", opt.step, opt, broken) end
fails("a single number, the tensor is [3, 2]", function()
  optim.adamw(net):step(net(riffle.randn(3, 2), riffle.zeros(3)))
end)
fails("riffle.optim.adamw: argument 1 'parameters' must be a module, a parameter, or a list of them, got 3", optim.adamw, 3)

-- One snapshot named twice is one.
local average, prefix = optim.power_ema(net), os.tmpname()
average:update()
local files = average:snapshot(prefix)
fails("two snapshots or more are needed", optim.reconstruct_ema, net, { snapshots = { files[1], files[1] }, length = 0.07 })
for _, file in ipairs { prefix, table.unpack(files) } do os.remove(file) end

-- A file whose count is no count is refused before any weight changes; a plain network passes over it.
do
  local small, path = nn.linear(1, 1), os.tmpname()
  for _, average in ipairs { optim.ema(small, { decay = 0.5 }), optim.power_ema(small) } do
    local model, names = average.model, { "updates", "step" }
    if not pcall(function() return model:count() end) then model = average:model(1) end
    for _, text in ipairs { "-1", "1e9", "abc", "", "1.5", "2147483648", "9223372036854775807" } do
      for _, name in ipairs(names) do
        riffle.data.save(path, { weight = riffle.full({ 1, 1 }, 7), bias = riffle.full({ 1 }, 7) }, { [name] = text, length = "0.05" })
        fails(("'%s' must be a whole number from 0 to 2147483647, got '%s'"):format(name, text), model.load, model, path)
        assert(list(model:parameters().bias) ~= "7.0")
        average:update()
      end
    end
    nn.linear(1, 1):load(path)
  end
  os.remove(path)
end
