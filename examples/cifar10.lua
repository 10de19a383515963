-- Trains a U-Net teacher on CIFAR-10 and its ITVM student: riffle cifar10.lua --data FOLDER, which holds
-- data_batch_*.bin. Two thousand steps take two to four hours on two cores. Stop it at any time: the same command goes
-- on. riffle report runs/cifar10/teacher shows the curves and the pictures so far.
local riffle = require "riffle"
local nn, flow, optim, data = riffle.nn, riffle.flow, riffle.optim, riffle.data

local args = riffle.args {
  data = { kind = "path", required = true, help = "the folder with data_batch_*.bin" },
  run = { "runs/cifar10", help = "where the files of both runs go" },
  steps = { 2000, help = "of each training" }, batch = { 32, help = "pictures a step" },
  samples = { 1000, help = "that the last table measures, of each" },
  features = { kind = "path", help = "weights of a feature network for the last table; see riffle weights" },
  save_every = { 250, help = "steps from one checkpoint to the next" }, seed = 1,
}
riffle.seed(args.seed)
local cifar = data.cifar10(args.data)
local noise = riffle.randn(16, 32, 32, 3)
print(("%d images of %d classes"):format(#cifar, #cifar.classes))

local function batches() return cifar:batches { size = args.batch, shuffle = true, flip = true, repeat_ = true } end
local function is_shown(step) return step % args.save_every == 0 or step == args.steps end

-- Times near the noise matter most for pictures, so the teacher's times are drawn skewed.
local net = nn.unet { image = { 32, 32, 3 }, channels = 64, multipliers = { 1, 2, 2 }, attention = { 16 } }
print(net)
local average = optim.ema(net, { decay = 0.999 })
local opt = optim.adamw(net, { lr = 4e-4, clip = 1.0 })
local run = riffle.run(args.run .. "/teacher", { config = args, save_every = args.save_every })
run:track { net = net, average = average, opt = opt }
for step, batch in run:steps(args.steps, batches()) do
  opt.lr = optim.warmup(step, { peak = 4e-4, steps = 100 })
  local report = opt:step(flow.matching_loss(net, batch.x, { times = "skewed" }))
  average:update()
  run:log { loss = report.loss, grad_norm = report.grad_norm, lr = opt.lr }
  if is_shown(step) then
    run:image("teacher", flow.ode(average.model, noise, { method = "heun", steps = 15 }), { columns = 4 })
  end
end
average.model:save(args.run .. "/teacher.safetensors")

-- The student needs one jump where the teacher needs thirty evaluations.
local teacher = average.model
local student = teacher:two_timed()
local target = optim.ema(student, { decay = 0.99 })
local o = optim.adamw(student, { lr = 2e-4, clip = 1.0 })
local second = riffle.run(args.run .. "/student", { config = args, save_every = args.save_every })
second:track { student = student, target = target, opt = o }
for step, batch in second:steps(args.steps, batches()) do
  o.lr = optim.cosine(step, { peak = 2e-4, warmup = 100, total = args.steps })
  local report = o:step(flow.loss.itvm(student, teacher, batch.x, { target = target.model }))
  target:update()
  second:log { loss = report.loss, grad_norm = report.grad_norm, lr = o.lr }
  if is_shown(step) then
    for _, nfe in ipairs { 1, 2, 4 } do
      second:image("student-" .. nfe, flow.jump(target.model, noise, { steps = nfe }), { columns = 4 })
    end
  end
end
target.model:save(args.run .. "/student.safetensors")
-- The distance from the pictures by number of evaluations: in the features of --features, where its weights are at hand,
-- else of small pictures' pixels, which see colours and little more.
local features = riffle.metrics.features(args.features or function(x) return x:avg_pool(math.max(1, x:shape()[2] // 8)) end,
  not args.features and { name = "pixels of small pictures" } or nil)
print(riffle.metrics.by_nfe({ teacher = teacher, student = target.model }, cifar,
  { teacher = "teacher", n = args.samples, batch = math.min(32, args.samples), features = features }))
print("pictures are in " .. args.run .. "/teacher/images and " .. args.run .. "/student/images")
