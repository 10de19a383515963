-- What a run costs: steps of the quickstart's network with and without a run that logs each step and writes a checkpoint
-- every 500 steps. riffle scripts/benchmark/run_overhead.lua [--rounds 5] prints seconds and the ratio, the least of all
-- rounds, the two in turn.
local riffle = require "riffle"
local nn, flow, optim, data = riffle.nn, riffle.flow, riffle.optim, riffle.data

local args = riffle.args { rounds = 5, steps = 1500 }
local board = data.checkerboard()

local function train(run)
  riffle.seed(1)
  local net = nn.mlp { dim = 2, width = 128 }
  local average, opt = optim.ema(net, { decay = 0.999 }), optim.adamw(net, { lr = 4e-3, clip = 1.0 })
  local start = riffle.clock()
  if run then run:track { net = net, average = average, opt = opt } end
  local function loop() if run then return run:steps(args.steps) end return riffle.progress(args.steps) end
  for step in loop() do
    opt.lr = optim.cosine(step, { peak = 4e-3, warmup = 100, total = args.steps })
    local report = opt:step(flow.matching_loss(net, board:sample(512)))
    average:update()
    if run then run:log { loss = report.loss, grad_norm = report.grad_norm, lr = opt.lr } end
  end
  return riffle.clock() - start
end

local with, without = math.huge, math.huge
for round = 1, args.rounds do
  local folder = os.tmpname() .. "-run"
  local run = riffle.run(folder, { save_every = 500 })
  -- Who is first changes from round to round.
  if round % 2 == 0 then without = math.min(without, train()) end
  with = math.min(with, train(run))
  if round % 2 == 1 then without = math.min(without, train()) end
  run:close()
  os.execute("rm -r " .. folder)
end
print(("with a run %.3f s, without %.3f s, %.4f of it"):format(with, without, with / without))
