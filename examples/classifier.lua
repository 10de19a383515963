-- Trains a small classifier on CIFAR-10 or on your own classes, whose values then measure pictures like yours where no
-- published weights are at hand: riffle classifier.lua --data FOLDER, which holds data_batch_*.bin or a folder for each
-- class. Ten thousand pictures of CIFAR-10 take about ten minutes on two cores. The file that it writes is given to
-- other examples and to riffle eval as --features classifier.safetensors.
local riffle = require "riffle"
local nn, optim, data = riffle.nn, riffle.optim, riffle.data

local args = riffle.args {
  data = { kind = "path", required = true, help = "the folder of the pictures, with classes" },
  size = { 32, help = "width and height that pictures are brought to" },
  channels = { 32, help = "of the network's first level, a multiple of 8" },
  steps = { 3000, help = "of training" }, batch = { 64, help = "pictures a step" }, lr = 2e-3,
  run = { "runs/classifier", help = "where the files of the run go" },
  out = { "classifier.safetensors", help = "the file of the trained classifier" }, seed = 1,
}
riffle.seed(args.seed)
local set = data.images(args.data, { size = args.size, crop = "center", channels = 3 })
print(set)
local train, test = set:split { test = 0.1 }

local net = nn.classifier(#set.classes, { size = args.size, channels = args.channels })
print(net)
local average = optim.ema(net, { decay = 0.998 })
local opt = optim.adamw(net, { lr = args.lr, weight_decay = 0.05, clip = 1.0 })

-- The share of a set's pictures whose class the average names.
local function accuracy(pictures)
  local right = 0
  for _, batch in pictures:batches { size = 100 } do
    right = right + average.model(batch.x):argmax(2):eq(batch.labels):to("float32"):sum():item()
  end
  return right / #pictures
end

-- Shifts a batch of pictures by up to an eighth of their side, the same for all, so that places matter less.
local function shifted(x)
  local most = args.size // 8
  for dim = 2, 3 do
    local first = riffle.randint(2 * most + 1, 1):item()
    x = x:pad(dim, most, most):slice(dim, first, first + args.size - 1)
  end
  return x
end

local run = riffle.run(args.run, { config = args })
local batches = train:batches { size = args.batch, shuffle = true, flip = true, repeat_ = true }
run:track { net = net, average = average, opt = opt, batches = batches }
for step, batch in run:steps(args.steps, batches) do
  opt.lr = optim.cosine(step, { peak = args.lr, warmup = 100, total = args.steps })
  local wanted = riffle.one_hot(batch.labels, #set.classes)
  local report = opt:step(-(net(shifted(batch.x)):log_softmax() * wanted):sum(2):mean())
  average:update()
  run:log { loss = report.loss, lr = opt.lr }
end
average.model:save(args.out)
print(("%.1f %% of the pictures that it never saw, %.1f %% of the others"):format(100 * accuracy(test), 100 * accuracy(train)))
print(riffle.metrics.features(args.out))
