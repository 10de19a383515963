-- Words to pictures from nothing: an MM-DiT learns with its text encoder to draw coloured forms from captions, and is
-- distilled to one evaluation by FGM and to 1, 2 and 4 by ITVM, each with the guidance of the teacher inside. Prints the
-- shapes score of captions that no training saw, by GenEval's kinds, and draws text_to_image.png, a row for each model.
-- Takes an hour of one core, and a few minutes with --quick, which shows the way and no more. Stopped, it goes on from
-- its last checkpoint. docs/methods.md has what came out; more --steps make a better teacher.
local riffle = require "riffle"
local nn, flow, optim, data, text, image = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.text, riffle.image

local args = riffle.args {
  steps = { 20000, help = "of the teacher" }, student_steps = { 2000, help = "of each student" },
  batch = 16, scale = { 3.0, help = "of the guidance" }, seed = 1,
  prompts = { 120, help = "that score each model, a multiple of 6" },
  run = { "runs/text_to_image", help = "the folder of the trainings" },
  quick = { false, help = "short trainings, which show the way and no more" },
}
if args.quick then args.steps, args.student_steps, args.prompts, args.run = 2000, 100, 24, args.run .. "-quick" end
riffle.seed(args.seed)
-- What a picture shows is settled while it is nearly all noise, so that times are drawn and steps are made nearer to it.
local shift = 3

local shapes = data.shapes { cells = 8 }
local words = text.words(shapes.words, { length = 10 })
local net = nn.text_conditioned {
  encoder = nn.clip_text { vocabulary = words.size, width = 128, depth = 2, heads = 4, length = words.length },
  network = nn.mmdit {
    image = { 32, 32, 3 }, patch = 4, depth = 4, heads = 4, head_channels = 32, tokens = 128, summary = 128,
    qk_norm = true, frequency = 30,
  },
}

-- Trains in a run of its own: what is tracked, and what a step does with a batch; returns the average.
-- - opts: optimizers and their peak rates.
local function train(name, steps, tracked, average, opts, learn)
  local run = riffle.run(args.run .. "/" .. name, { config = args })
  local batches = shapes:batches { size = args.batch, seed = args.seed }
  for other, object in pairs { average = average, batches = batches } do tracked[other] = object end
  run:track(tracked)
  for step, batch in run:steps(steps, batches) do
    for opt, peak in pairs(opts) do opt.lr = optim.cosine(step, { peak = peak, warmup = 100, total = steps }) end
    run:log { loss = learn(batch.x, words:encode(batch.captions), step) }
    average:update()
  end
  return average.model
end

local function teacher_of_words()
  local average, opt = optim.ema(net, { decay = 0.999 }), optim.adamw(net, { lr = 2e-3, beta2 = 0.99, clip = 1.0 })
  return train("teacher", args.steps, { net = net, opt = opt }, average, { [opt] = 2e-3 }, function(x, ids)
    local loss = flow.matching_loss(net, x, { labels = ids, label_dropout = 0.1, shift = shift })
    return opt:step(loss).loss
  end)
end
local teacher = teacher_of_words()
local guided = flow.guide(teacher, { scale = args.scale })

-- ITVM: a flow map, whose jumps have the guidance inside. Its terminal term asks the teacher once.
local function flow_map()
  local student = guided:two_timed()
  local average, opt = optim.ema(student, { decay = 0.99 }), optim.adamw(student, { lr = 5e-4, clip = 1.0 })
  return train("itvm", args.student_steps, { student = student, opt = opt }, average, { [opt] = 5e-4 }, function(x, ids)
    local loss = flow.loss.itvm(student, guided, x, {
      labels = ids, shift = shift, last_step = "implicit_midpoint", offset = 0.2, offset_of = "rest", initial_weight = 0.1,
    })
    return opt:step(loss).loss
  end)
end

-- FGM: the online network learns the flow of the generator's samples, two steps for each of the generator's.
local function generator()
  local made, online = teacher:copy(), teacher:copy()
  local average, rate = optim.ema(made, { decay = 0.98 }), 1e-4
  local opt = optim.adamw(made, { lr = rate, beta1 = 0, clip = 1.0 })
  local online_opt = optim.adamw(online, { lr = rate, beta1 = 0, clip = 1.0 })
  local tracked = { made = made, online = online, opt = opt, online_opt = online_opt }
  return train("fgm", args.student_steps, tracked, average, { [opt] = rate, [online_opt] = rate }, function(x, ids)
    for _ = 1, 2 do
      online_opt:step(flow.loss.fgm_online(made, online, riffle.randn(x:shape()), { labels = ids, shift = shift }))
    end
    local loss = flow.loss.fgm(made, online, guided, riffle.randn(x:shape()), { labels = ids, shift = shift, l1_weight = 0 })
    return opt:step(loss).loss
  end)
end

local student, fast = flow_map(), generator()
local captions = shapes:prompts(args.prompts)
local ids, noise = words:encode(captions), riffle.randn(args.prompts, 32, 32, 3)
local function solved(steps)
  return flow.ode(guided, noise, { method = "euler", times = flow.shifted_times(steps, shift), labels = ids })
end
local function jumped(steps) return flow.jump(student, noise, { steps = steps, labels = ids }) end
local models = {
  { "teacher, 28 steps", solved(28) }, { "teacher, 1 step", solved(1) },
  { "FGM, 1 evaluation", flow.generate(fast, noise, { labels = ids }) },
  { "ITVM, 1 evaluation", jumped(1) }, { "ITVM, 2 evaluations", jumped(2) }, { "ITVM, 4 evaluations", jumped(4) },
}
print(("%-20s"):format("shapes score") .. table.concat(shapes.kinds, " ") .. " mean")
local rows, each = {}, args.prompts // #shapes.kinds
local shown = math.min(2, each) -- prompts of each kind
for _, model in ipairs(models) do
  local title, pictures = table.unpack(model)
  local score, cells = shapes:score(pictures:clamp(-1, 1), captions), {}
  for i, kind in ipairs(shapes.kinds) do cells[i] = ("%" .. #kind .. ".2f"):format(score[kind]) end
  print(("%-20s"):format(title) .. table.concat(cells, " ") .. (" %.2f"):format(score.mean))
  local some = {}
  for i = 0, #shapes.kinds - 1 do some[i + 1] = pictures:slice(1, i * each + 1, i * each + shown) end
  rows[#rows + 1] = riffle.cat(some)
end
image.save("text_to_image.png", riffle.cat(rows):clamp(-1, 1), { columns = shown * #shapes.kinds })
print "drawn in text_to_image.png, from left to right:"
for i = 0, #shapes.kinds - 1 do
  print("  " .. table.concat(captions, "; ", i * each + 1, i * each + shown))
end
