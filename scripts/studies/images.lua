-- Compares students on CIFAR-10: riffle images.lua FOLDER unet|dit|dit-1000 SEED TEACHER_STEPS STEPS MEMBER[@RATE] ...
-- dit-1000 embeds times by the published frequencies up to 1000 rad, and dit by frequencies up to 30, as nn.mlp does.
-- Distances are Frechet distances in the features of a small classifier, trained here on the same images, between 3000
-- samples and 3000 images; a CSV row for each student has the distances at 1, 2 and 4 evaluations, with milliseconds a
-- step and the squared distances to the teacher's endpoints. The script keeps the classifier and the teacher in files
-- and draws pictures of each student. RIFFLE_THREADS=1 lets several runs share the machine. On one core with AVX2 a
-- step of a student takes 0.8 to 2 s, a step of the teacher 0.6 s, and measuring a student a minute and a half.
local riffle = require "riffle"
local nn, flow, optim, data, metrics, image = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics, riffle.image

local folder, kind, seed = arg[1], arg[2], math.tointeger(arg[3])
local teacher_steps, steps = math.tointeger(arg[4]), math.tointeger(arg[5])
local cifar, batch, samples = data.cifar10(folder), 32, 3000

local function batches(size) return cifar:batches { size = size, shuffle = true, flip = true, repeat_ = true } end

-- Loads a trained network from its file, or trains the network and writes the file.
local function kept(path, net, train)
  local file = io.open(path)
  if file then
    file:close()
    return net:load(path)
  end
  local trained = train(net)
  trained:save(path)
  return trained
end

-- A convolutional network of four levels; its features are the means of the last one over the image.
local classifier = nn.module {
  levels = { nn.conv2d(3, 32), nn.conv2d(32, 64, { stride = 2 }), nn.conv2d(64, 96, { stride = 2 }), nn.conv2d(96, 128, { stride = 2 }) },
  norms = { nn.group_norm(32, 8), nn.group_norm(64, 8), nn.group_norm(96, 8), nn.group_norm(128, 8) },
  last = nn.linear(128, 10),
  features = function(self, x)
    for i, level in ipairs(self.levels) do x = self.norms[i](level(x)):silu() end
    return x:mean { 2, 3 }
  end,
  forward = function(self, x) return self.last(self:features(x)) end,
}
riffle.seed(1)
kept("classifier.safetensors", classifier, function(net)
  local opt = optim.adamw(net, { lr = 2e-3, weight_decay = 0.05 })
  local right = 0
  for step, b in riffle.progress(batches(64):take(3000), "classifier") do
    opt.lr = optim.cosine(step, { peak = 2e-3, warmup = 100, total = 3000 })
    local scores = net(b.x)
    opt:step(-(scores:log_softmax() * riffle.one_hot(b.labels, 10)):sum(2):mean())
    right = 0.99 * right + 0.01 * scores:argmax(2):eq(b.labels):to("float32"):mean():item()
  end
  io.stderr:write(("classifier: %.3f of the training images right\n"):format(right))
  return net
end)

local function features(x)
  return riffle.no_grad(function()
    local parts = {}
    for first = 1, #x, 500 do parts[#parts + 1] = classifier:features(x:slice(1, first, math.min(first + 499, #x))) end
    return riffle.cat(parts, 1)
  end)
end
local real
for _, b in cifar:batches { size = samples } do
  real = features(b.x)
  break
end

riffle.seed(seed)
local net = kind == "unet" and nn.unet { image = { 32, 32, 3 }, channels = 32, multipliers = { 1, 2, 2 }, blocks = 1, attention = { 8 } }
  or nn.dit { image = { 32, 32, 3 }, patch = 4, width = 192, depth = 6, heads = 3, frequency = kind == "dit" and 30 or 1000 }
local teacher = kept(("teacher-%s-%d.safetensors"):format(kind, seed), net, function()
  local average = optim.ema(net, { decay = 0.999 })
  local opt = optim.adamw(net, { lr = 1e-3, clip = 1.0 })
  for step, b in riffle.progress(batches(batch):take(teacher_steps), "teacher") do
    opt.lr = optim.cosine(step, { peak = 1e-3, warmup = 200, total = teacher_steps })
    opt:step(flow.matching_loss(net, b.x, { times = "skewed" }))
    average:update()
  end
  return average.model
end)

riffle.seed(1000 + seed)
local noise = riffle.randn(samples, 32, 32, 3)
-- Samples in parts, since the activations of all samples together would not fit in memory.
local function sampled(sample)
  local parts = {}
  for first = 1, samples, 250 do parts[#parts + 1] = sample(noise:slice(1, first, first + 249)) end
  return riffle.cat(parts, 1)
end
local exact = sampled(function(z) return (flow.ode(teacher, z, { method = "heun", steps = 16 })) end)

-- Prints the row of a student and saves its pictures; samples_with(n) returns samples by n evaluations.
local function report(title, milliseconds, samples_with)
  local row = { kind, seed, title:gsub(",", ";"), ("%.1f"):format(milliseconds), steps }
  local ends = {}
  for _, nfe in ipairs { 1, 2, 4 } do
    local x = samples_with(nfe)
    row[#row + 1] = ("%.4f"):format(metrics.frechet_distance(features(x), real))
    ends[#ends + 1] = ("%.5f"):format(metrics.endpoint_mse(x, exact) / (32 * 32 * 3))
    image.save(("%s-%d-%s-%d.png"):format(kind, seed, title:gsub("[^%w@]+", "_"), nfe), x:slice(1, 1, 32), { columns = 8 })
  end
  print(table.concat(row, ",") .. "," .. table.concat(ends, ","))
  io.stdout:flush()
end

-- The loss and options of each member, and the decay of its target's average; without a decay the student is its own
-- target.
local members = {
  lfmd = { "lfmd" },
  itvm = { "itvm", decay = 0.99 },
  ["itvm, no initial, no average"] = { "itvm", initial_weight = 0 },
  efmd = { "efmd" },
  ["pfmm, 4 steps"] = { "pfmm", steps = 4 },
  ["shortcut, three quarters"] = { "shortcut", bootstrap = 0.75, decay = 0.999 },
  meanflow = { "meanflow" },
}
report("teacher, Euler", 0, function(nfe)
  return sampled(function(z) return (flow.ode(teacher, z, { method = "euler", steps = nfe })) end)
end)
report("teacher, 32", 0, function() return exact end)
for i = 6, #arg do
  local base, rate = arg[i]:match("^(.-)@(.+)$")
  local member, peak = members[base or arg[i]], tonumber(rate or 3e-4)
  if not member then error(("no member '%s'"):format(base or arg[i]), 0) end
  riffle.seed(2000 + seed)
  local student = teacher:two_timed()
  local average = optim.ema(student, { decay = 0.995 })
  local target = member.decay and optim.ema(student, { decay = member.decay })
  local options = { target = target and target.model }
  for key, value in pairs(member) do
    if type(key) == "string" and key ~= "decay" then options[key] = value end
  end
  local opt, start = optim.adamw(student, { lr = peak, clip = 1.0 }), os.clock()
  for step, b in riffle.progress(batches(batch):take(steps), arg[i]) do
    opt.lr = optim.cosine(step, { peak = peak, warmup = 50, total = steps })
    opt:step(flow.loss[member[1]](student, teacher, b.x, options))
    if target then target:update() end
    average:update()
  end
  report(arg[i], 1000 * (os.clock() - start) / steps, function(nfe)
    return sampled(function(z) return (flow.jump(average.model, z, { steps = nfe })) end)
  end)
end
