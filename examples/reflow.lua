-- Straightens a flow by reflow, until few Euler steps suffice: in each round the flow makes data from noise, the pairs
-- of both are streamed to disk and back, and the next network learns from these pairs. Takes two to three minutes on
-- two cores; draws reflow.png. riffle reflow.lua [--set moons]
local riffle = require "riffle"
local nn, flow, optim, data, metrics, plot = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics, riffle.plot

local sets = { "checkerboard", "moons", "circles", "spirals", "eight_gaussians", "pinwheel", "swiss_roll" }
local args = riffle.args {
  set = { "checkerboard", help = "of points", choices = sets }, steps = { 6000, help = "of each training" },
}
local name, steps = args.set, args.steps
riffle.seed(1)
-- No more pairs than training goes through.
local rounds, pairs_made = 2, math.min(100000, 512 * steps)
local set = data[name]()

-- Trains for a number of steps, or over a source of batches, and returns the network's average.
local function train(title, net, source, loss)
  local average = optim.ema(net, { decay = 0.999 })
  local opt = optim.adamw(net, { lr = 2e-3, clip = 1.0 })
  for step, batch in riffle.progress(source, title) do
    opt.lr = optim.cosine(step, { peak = 2e-3, warmup = 100, total = steps })
    opt:step(loss(batch))
    average:update()
  end
  return average.model
end

local noise, truth = riffle.randn(20000, 2), set:sample(20000)
local pictures = { { "data", truth } }
print(("sliced Wasserstein distance to the data by Euler steps, set %s"):format(name))
print(("%-10s %8s %8s %8s %8s"):format("", "1", "2", "4", "50"))
local function row(title, net)
  local cells, one = {}, nil
  for _, count in ipairs { 1, 2, 4, 50 } do
    local x = flow.ode(net, noise, { method = "euler", steps = count })
    one = one or x
    cells[#cells + 1] = ("%8.4f"):format(metrics.sliced_wasserstein(x, truth))
  end
  pictures[#pictures + 1] = { title .. ", 1 step", one }
  print(("%-10s %s"):format(title, table.concat(cells, " ")))
end

local net = nn.mlp { dim = 2, width = 128 }
local teacher = train("flow", net, steps, function() return flow.matching_loss(net, set:sample(512)) end)
row("flow", teacher)

for round = 1, rounds do
  local path = os.tmpname()
  do
    local writer <close> = data.pair_writer(path, { n = pairs_made, shape = { 2 } })
    while #writer < pairs_made do
      local x0 = riffle.randn(math.min(10000, pairs_made - #writer), 2)
      writer:add(x0, (flow.ode(teacher, x0, { method = "heun", steps = 50 })))
    end
    writer:close()
  end
  local student, pairs = teacher:copy(), data.pairs(path):batches { size = 512, shuffle = true, repeat_ = true }
  teacher = train("round " .. round, student, pairs:take(steps), function(pair)
    return flow.matching_loss(student, pair.x, { noise = pair.noise })
  end)
  row("round " .. round, teacher)
  os.remove(path)
end
plot.scatter("reflow.png", pictures)
print("drawn in reflow.png")
