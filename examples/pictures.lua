-- Trains a teacher on your own folder of pictures, and a student that needs one evaluation: riffle pictures.lua --data
-- FOLDER [--size 32]. Pictures may be PNG, JPEG or WebP, of any size, in folders by class or not; a ZIP or an array will
-- do, too. Try --test-run first: it says what a step takes. Stop it at any time, and the same command goes on.
local riffle = require "riffle"
local nn, flow, optim, data = riffle.nn, riffle.flow, riffle.optim, riffle.data

local args = riffle.args {
  data = { kind = "path", required = true, help = "folder, ZIP, npy, npz or IDX file of pictures" },
  run = { "runs/pictures", help = "where the files of both runs go" },
  size = { 32, help = "width and height that pictures are brought to" },
  channels = { 64, help = "of the network's first level, a multiple of 32" },
  steps = { 2000, help = "of each training" }, batch = { 32, help = "pictures a step" },
  save_every = { 250, help = "steps from one checkpoint to the next" }, lr = { 4e-4, help = "the teacher's highest learning rate" },
  samples = { 1000, help = "that the last table measures, of each" },
  features = { kind = "path", help = "weights of a feature network for the last table; see riffle weights" },
  recompute = { false, help = "takes less memory and more time" }, seed = 1,
}
riffle.seed(args.seed)
local set = data.images(args.data, { size = args.size, crop = "center" })
print(set)
local noise = riffle.randn(16, args.size, args.size, 3)

-- Makes the run of a part, and goes through its steps with batches of pictures.
local function train(name, network, peak, loss, draw)
  local average = optim.ema(network, { decay = 0.999 })
  local opt = optim.adamw(network, { lr = peak, clip = 1.0 })
  local run = riffle.run(args.run .. "/" .. name, { config = args, save_every = args.save_every })
  local batches = set:batches { size = args.batch, shuffle = true, flip = true, repeat_ = true }
  run:track { net = network, average = average, opt = opt, batches = batches }
  for step, batch in run:steps(args.steps, batches) do
    opt.lr = optim.cosine(step, { peak = peak, warmup = 100, total = args.steps })
    local report = opt:step(loss(batch.x, average.model))
    average:update()
    run:log { loss = report.loss, grad_norm = report.grad_norm, lr = opt.lr }
    if step % args.save_every == 0 or step == args.steps then draw(run, average.model) end
  end
  average.model:save(args.run .. "/" .. name .. ".safetensors")
  return average.model
end

local net = nn.unet {
  image = { args.size, args.size, 3 }, channels = args.channels, multipliers = { 1, 2, 2 },
  attention = { args.size // 2 }, recompute = args.recompute,
}
print(net)
local teacher = train("teacher", net, args.lr, function(x)
  return flow.matching_loss(net, x, { times = "skewed" })
end, function(run, model)
  run:image("samples", flow.ode(model, noise, { method = "heun", steps = 15 }), { columns = 4 })
end)

local student = teacher:two_timed()
local distilled = train("student", student, args.lr / 2, function(x, target)
  return flow.loss.itvm(student, teacher, x, { target = target })
end, function(run, model)
  for _, nfe in ipairs { 1, 2, 4 } do
    run:image("samples-" .. nfe, flow.jump(model, noise, { steps = nfe }), { columns = 4 })
  end
end)
-- The distance from the pictures by number of evaluations: in the features of --features, where its weights are at hand,
-- else of small pictures' pixels, which see colours and little more.
local features = riffle.metrics.features(args.features or function(x) return x:avg_pool(math.max(1, x:shape()[2] // 8)) end,
  not args.features and { name = "pixels of small pictures" } or nil)
print(riffle.metrics.by_nfe({ teacher = teacher, student = distilled }, set,
  { teacher = "teacher", n = args.samples, batch = math.min(32, args.samples), features = features }))
print("look at them with: riffle report " .. args.run .. "/student")
