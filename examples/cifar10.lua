-- Trains a U-Net teacher on CIFAR-10 and its ITVM student: riffle cifar10.lua FOLDER [--steps 2000]; FOLDER holds
-- data_batch_*.bin. Two thousand steps take two to four hours on two cores; the script draws pictures on the way.
local riffle = require "riffle"
local nn, flow, optim, data, image = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.image

-- Takes an option such as --steps and the value behind it out of the arguments.
local function option(name)
  for i, word in ipairs(arg) do
    if word == name then
      table.remove(arg, i)
      return assert(table.remove(arg, i), name .. " needs a value")
    end
  end
end
local steps = assert(math.tointeger(option "--steps" or 2000), "--steps needs a whole number")
assert(#arg == 1, "usage: riffle cifar10.lua FOLDER [--steps 2000]")
local folder = arg[1]
riffle.seed(1)
local cifar = data.cifar10(folder)
local batches = cifar:batches { size = 32, shuffle = true, flip = true, repeat_ = true }
local noise = riffle.randn(16, 32, 32, 3)
print(("%d images of %d classes"):format(#cifar, #cifar.classes))

-- Times near the noise matter most for pictures, so the teacher's times are drawn skewed.
local net = nn.unet { image = { 32, 32, 3 }, channels = 64, multipliers = { 1, 2, 2 }, attention = { 16 } }
print(net)
local average = optim.ema(net, { decay = 0.999 })
local opt = optim.adamw(net, { lr = 4e-4, clip = 1.0 })
for step, batch in riffle.progress(batches:take(steps), "teacher") do
  opt.lr = optim.warmup(step, { peak = 4e-4, steps = 100 })
  opt:step(flow.matching_loss(net, batch.x, { times = "skewed" }))
  average:update()
  if step % 500 == 0 or step == steps then
    image.save("cifar10-teacher.png", flow.ode(average.model, noise, { method = "heun", steps = 15 }), { columns = 4 })
  end
end
average.model:save("cifar10-teacher.safetensors")

-- The student needs one jump where the teacher needs thirty evaluations.
local teacher = average.model
local student = teacher:two_timed()
local target = optim.ema(student, { decay = 0.99 })
local o = optim.adamw(student, { lr = 2e-4, clip = 1.0 })
for step, batch in riffle.progress(batches:take(steps), "student") do
  o.lr = optim.cosine(step, { peak = 2e-4, warmup = 100, total = steps })
  o:step(flow.loss.itvm(student, teacher, batch.x, { target = target.model }))
  target:update()
end
target.model:save("cifar10-student.safetensors")
for _, nfe in ipairs { 1, 2, 4 } do
  image.save(("cifar10-student-%d.png"):format(nfe), flow.jump(target.model, noise, { steps = nfe }), { columns = 4 })
end
print("drawn: cifar10-teacher.png and cifar10-student-{1,2,4}.png")
