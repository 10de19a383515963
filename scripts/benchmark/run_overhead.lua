-- What a run costs: steps of the quickstart's network with and without a run that logs each step and writes a checkpoint
-- every 500 steps. riffle scripts/benchmark/run_overhead.lua [--steps 6000] prints seconds and the ratio. Both go on in
-- turns of 50 steps, so that a machine whose speed changes from second to second slows both alike; the ratios of the
-- parts of 500 steps show how far the result can be trusted.
local riffle = require "riffle"
local nn, flow, optim, data = riffle.nn, riffle.flow, riffle.optim, riffle.data

local args = riffle.args { steps = { 6000, help = "of each, a multiple of 500" } }
local board = data.checkerboard()
local turn, part = 50, 500

-- A training that rests after each turn; the last one closes the run.
local function training(run)
  return coroutine.wrap(function()
    local net = nn.mlp { dim = 2, width = 128 }
    local average, opt = optim.ema(net, { decay = 0.999 }), optim.adamw(net, { lr = 4e-3, clip = 1.0 })
    if run then run:track { net = net, average = average, opt = opt } end
    local function loop() if run then return run:steps(args.steps) end return riffle.progress(args.steps) end
    for step in loop() do
      opt.lr = optim.cosine(step, { peak = 4e-3, warmup = 100, total = args.steps })
      local report = opt:step(flow.matching_loss(net, board:sample(512)))
      average:update()
      if run then run:log { loss = report.loss, grad_norm = report.grad_norm, lr = opt.lr } end
      if step % turn == 0 and step < args.steps then coroutine.yield() end
    end
    if run then run:close() end
  end)
end

local folder = os.tmpname() .. "-run"
riffle.seed(1)
local trainings = { training(riffle.run(folder, { save_every = part })), training() }
local total, since, ratios = { 0, 0 }, { 0, 0 }, {}
for index = 1, args.steps // turn do
  -- Who is first changes from turn to turn.
  for _, which in ipairs(index % 2 == 0 and { 1, 2 } or { 2, 1 }) do
    local start = riffle.clock()
    trainings[which]()
    local seconds = riffle.clock() - start
    total[which], since[which] = total[which] + seconds, since[which] + seconds
  end
  if index * turn % part == 0 then
    ratios[#ratios + 1] = ("%.3f"):format(since[1] / since[2])
    since = { 0, 0 }
  end
end
os.execute("rm -r " .. folder)
print(("with a run %.3f s, without %.3f s, %.4f of it"):format(total[1], total[2], total[1] / total[2]))
print("parts of " .. part .. " steps: " .. table.concat(ratios, " "))
