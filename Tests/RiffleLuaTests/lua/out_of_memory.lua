-- Memory that runs out anywhere in a call that changes something. With garbage to free, the call does what it always does;
-- without, it is an error, nothing has changed, and the same call does what it always does when there is memory again.
local riffle = require "riffle"
local data, optim = riffle.data, riffle.optim

local paths = {}
local function temporary()
  paths[#paths + 1] = os.tmpname()
  return paths[#paths]
end
local function contents(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a" or "none"
end

-- Values in words, digit by digit: numbers of tensors and of lists alike.
local function text(value)
  if type(value) == "userdata" then return value.tolist and text(value:tolist()) or tostring(value) end
  if type(value) ~= "table" then return type(value) == "number" and ("%.17g"):format(value) or tostring(value) end
  local parts = {}
  for _, item in ipairs(value) do parts[#parts + 1] = text(item) end
  return "{" .. table.concat(parts, " ") .. "}"
end
local function parameters(net) return text { net.weight, net.bias } end

local function weights(...)
  local all = {}
  for i, size in ipairs { ... } do all[i] = riffle.parameter(riffle.linspace(-1, 1, size)) end
  return all
end
local function gradients(all)
  local parts = {}
  for i, w in ipairs(all) do parts[i] = text(w.grad or "none") end
  return table.concat(parts, " ")
end

-- Each makes something, and gives the call and what can be seen of it. `once`: the call spends what it was made from.
local calls = {}

local function stepping(optimizer, prepared)
  return function()
    local all = weights(40, 70)
    local opt = optimizer(all)
    -- Parameters that somebody else holds as well are copied by a step.
    local held = { riffle.detach(all[1]), riffle.detach(all[2]) }
    local loss = (all[1] * all[1]):sum() + (all[2] * all[2] * all[2]):sum()
    if prepared then (all[1] * 3):sum():backward() end
    return function() opt:step(loss) end, function()
      return table.concat({ text(all[1]), text(all[2]), gradients(all), text(held), opt.steps }, "\n")
    end
  end
end
calls["a first step of AdamW"] = { stepping(function(all) return optim.adamw(all, { lr = 0.1 }) end), once = true }
calls["a step beside a gradient of the user's"] =
  { stepping(function(all) return optim.sgd(all, { lr = 0.1, momentum = 0.9 }) end, true), once = true }
calls["a later step of clipped AdamW"] = { stepping(function(all)
  local opt = optim.adamw(all, { lr = 0.1, clip = 0.5 })
  opt:step((all[1] * all[1]):sum() + all[2]:sum())
  return opt
end), once = true }
calls["a step with gradients alone"] = { function()
  local all = weights(40, 70)
  local opt, held = optim.adamw(all, { lr = 0.1 }), riffle.detach(all[2])
  ;((all[1] * all[1]):sum() + (all[2] * all[2]):sum()):backward()
  return function() opt:step() end, function() return text { all[1], all[2], held } .. gradients(all) .. opt.steps end
end }
calls["a backward pass that keeps its tape"] = { function()
  local all = weights(40, 70)
  local loss = (all[1] * all[1] * all[1]):sum() + (all[2]:exp() * all[2]):sum() * all[1]:sum()
  loss:backward { retain = true }
  return function() loss:backward { retain = true } end, function() return gradients(all) end
end }
calls["gradients that are differentiated again"] = { function()
  local w, found = riffle.parameter(riffle.linspace(-1, 1, 50)), "none"
  local loss = (w * w * w):sum()
  return function() found = riffle.grad(loss, { w }, { recording = true }) end, function() return text(found) end
end }

local function averaging(average, models, count)
  return function()
    local net = riffle.nn.linear(9, 7)
    -- A copy has the average's memory in common, so that an update has to take some.
    local mean, first = average(net), net:copy()
    net.weight:assign(riffle.ones(7, 9))
    return function() mean:update() end, function()
      local parts = { text(mean[count]), parameters(net), parameters(first) }
      for _, model in ipairs(models(mean)) do parts[#parts + 1] = parameters(model) end
      return table.concat(parts, "\n")
    end
  end
end
calls["an update of an average"] = { averaging(
  function(net) return optim.ema(net, { decay = 0.5 }) end, function(mean) return { mean.model } end, "updates") }
calls["an update of power averages"] = { averaging(
  optim.power_ema, function(mean) return mean.models end, "steps") }

calls["a network loaded"] = { function()
  local path, net = temporary(), riffle.nn.linear(9, 7)
  riffle.nn.linear(9, 7):save(path)
  return function() net:load(path) end, function() return parameters(net) end
end }
calls["a network saved over another"] = { function()
  local path, net = temporary(), riffle.nn.conv2d(3, 4, 3)
  riffle.nn.linear(2, 2):save(path)
  return function() net:save(path) end, function() return contents(path) end
end }
calls["a network set to an average of snapshots"] = { function()
  local net, prefix = riffle.nn.linear(9, 7), temporary()
  local mean = optim.power_ema(net)
  mean:update()
  local files = mean:snapshot(prefix)
  table.move(files, 1, #files, #paths + 1, paths)
  net.weight:assign(riffle.zeros(7, 9))
  return function() optim.reconstruct_ema(net, { snapshots = files, length = 0.07 }) end, function() return parameters(net) end
end }
calls["pairs added"] = { function()
  local path = temporary()
  local writer = data.pair_writer(path, { n = 8, shape = { 5 } })
  local noise, x = riffle.ones(4, 5, { dtype = "float64" }), riffle.zeros(4, 5, { dtype = "float64" })
  writer:add(noise * 2, x)
  return function() writer:add(noise, x) end, function()
    if #writer == 8 then writer:close() end
    return #writer .. contents(path)
  end
end }
calls["batches, drawn and mirrored"] = { function()
  local path = temporary()
  local file <close> = io.open(path, "wb")
  for i = 1, 6 do file:write(string.char(i):rep(3073)) end
  file:close()
  local batches = data.cifar10(path):batches { size = 2, shuffle = true, flip = true, seed = 3 }
  for _ = 1, 2 do batches() end
  local last
  return function() last = batches() end, function()
    -- The epoch's end comes behind its last batch, once.
    return last and text(last.labels) .. text(last.x:sum { 2, 3, 4 }) .. tostring(batches()) .. batches.position or batches.position
  end
end }
calls["pairs in batches, across an end"] = { function()
  local path = temporary()
  local writer = data.pair_writer(path, { n = 4, shape = { 5 } })
  writer:add(riffle.randn(4, 5), riffle.randn(4, 5))
  writer:close()
  local seen
  local batches = data.pairs(path):batches { size = 4, shuffle = true }
  return function() seen = batches() end, function() return seen and text(seen.x) .. batches.position or batches.position end
end }
calls["random numbers"] = { function()
  local drawn
  return function() drawn = riffle.randn(500) end, function() return drawn and text(drawn) or "none" end
end }
calls["a loss that draws its points"] = { function()
  local net, x, loss = riffle.nn.mlp { dim = 2, width = 8, depth = 2 }, riffle.randn(16, 2), nil
  return function() loss = riffle.flow.matching_loss(net, x) end, function() return loss and text(loss) or "none" end
end }
calls["a network made"] = { function()
  local net
  return function() net = riffle.nn.linear(9, 7) end, function() return net and parameters(net) or "none" end
end }

local function made(call)
  riffle.seed(11)
  local run, see = call[1]()
  collectgarbage()
  collectgarbage()
  return run, see
end

for name, call in pairs(calls) do
  local run, see = made(call)
  run()
  local wanted = see()

  local step, failures, succeeded = 64, 0, false
  for space = 0, 1 << 20, step do
    local run, see = made(call)
    local before = see()
    collectgarbage()
    riffle.memory.limit(riffle.memory.stats().live + space)
    local ok, message = pcall(run)
    riffle.memory.limit(0)
    if ok then
      assert(see() == wanted, name)
      succeeded = true
      break
    end
    failures = failures + 1
    assert(message:find "out of memory", message)
    assert(see() == before, ("%s, %d bytes: something changed"):format(name, space))
    if not call.once then
      run()
      assert(see() == wanted, ("%s, %d bytes: another result afterwards"):format(name, space))
    end
  end
  assert(failures > 0, name .. " needs no memory")
  assert(succeeded, name .. " needs more than a megabyte")

  for space = 0, failures * step, step do
    local run, see = made(call)
    collectgarbage "stop"
    for _ = 1, 8 do local garbage = riffle.ones(1 << 15) end
    riffle.memory.limit(riffle.memory.stats().live + space)
    local ok, message = pcall(run)
    riffle.memory.limit(0)
    collectgarbage "restart"
    assert(ok, ("%s, %d bytes beside garbage: %s"):format(name, space, message))
    assert(see() == wanted, ("%s, %d bytes beside garbage: another result"):format(name, space))
  end
end

-- What a script's own finalizers do while a call waits for memory cannot reach the library, and breaks nothing.
do
  local reached = "not called"
  local function leave() setmetatable({}, { __gc = function() reached = pcall(riffle.randn, 4) end }) end
  collectgarbage()
  collectgarbage "stop"
  leave()
  for _ = 1, 8 do local garbage = riffle.ones(1 << 15) end
  -- Space for so much that the limit itself brings no collection.
  riffle.memory.limit(riffle.memory.stats().live + 1200000)
  assert(reached == "not called")
  local x = riffle.randn(1 << 19)
  riffle.memory.limit(0)
  collectgarbage "restart"
  assert(#x == 1 << 19 and reached == false, tostring(reached))
end

for _, path in ipairs(paths) do os.remove(path) end
