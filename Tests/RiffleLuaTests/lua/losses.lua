-- The losses from the front door: every one of them trains, mixes, and says what is wrong with what it is given.
local riffle = require "riffle"
local fails = require "shared.fails"
local nn, flow, optim = riffle.nn, riffle.flow, riffle.optim

riffle.seed(3)
local teacher = nn.mlp { width = 16 }
local own = { alphaflow = { alpha = 0.5 }, progressive = { steps = 4 } }
local names = {
  "lfmd", "itvm", "efmd", "pfmm", "lsd", "esd", "psd", "meanflow", "imf", "tvm", "alphaflow", "shortcut", "ayf", "scm", "consistency",
  "consistency_fm", "progressive", "twinflow",
}
for _, name in ipairs(names) do
  local student = teacher:two_timed()
  local opt = optim.adamw(student, { lr = 1e-3 })
  local options = own[name] or {}
  options.target = student:copy(true)
  local loss, parts = flow.loss[name](student, teacher, riffle.randn(16, 2), options)
  assert(loss:item() == loss:item() and next(parts), name)
  assert(opt:step(loss).grad_norm > 0, name)
end

-- From data alone, with a learned weight that trains along, and a function as the weight.
for _, name in ipairs { "lsd", "esd", "psd", "meanflow", "imf", "tvm", "shortcut", "ayf", "scm", "consistency", "consistency_fm", "twinflow" } do
  local student, weight = teacher:two_timed(), nn.loss_weight()
  local result = optim.adamw({ student, weight }, { lr = 1e-3 }):step(flow.loss[name](student, nil, riffle.randn(16, 2), { weight = weight }))
  assert(result.grad_norm > 0, name)
  flow.loss[name](student, nil, riffle.randn(16, 2), { weight = function(s, t) return 1 + t - s end, huber = 0.1, path = "cosine" })
end
for _, name in ipairs { "lfmd", "itvm", "efmd", "pfmm", "progressive" } do
  fails("'teacher' must be a network", flow.loss[name], teacher:two_timed(), nil, riffle.randn(4, 2))
end

-- A mixture of losses is a loss.
local student = teacher:two_timed()
local a, b = flow.loss.lfmd(student, teacher, riffle.randn(8, 2)), flow.loss.psd(student, nil, riffle.randn(8, 2))
assert(optim.adamw(student):step(0.75 * a + 0.25 * b).grad_norm > 0)

-- A generator and its online network take turns.
local generator, online = teacher:copy(), teacher:copy()
local before = online:parameters()["output.weight"]:tolist()[1][1]
flow.loss.fgm(generator, online, teacher, riffle.randn(8, 2)):backward()
assert(online:parameters()["output.weight"].grad == nil and generator:parameters()["output.weight"].grad ~= nil)
optim.adamw(online):step(flow.loss.fgm_online(generator, online, riffle.randn(8, 2)))
assert(online:parameters()["output.weight"]:tolist()[1][1] ~= before)
fails("alpha below 1 needs real data", flow.loss.fgm_online, generator, online, riffle.randn(8, 2), { alpha = 0.9 })
flow.loss.fgm_online(generator, online, riffle.randn(8, 2), { alpha = 0.9, x = riffle.randn(4, 2) })
assert(flow.generate(generator, riffle.randn(5, 2)):shape()[1] == 5)
fails("'path'", flow.loss.dmd, generator, online, teacher, riffle.randn(4, 2), { path = "vp" })
fails("counts for nothing", flow.loss.fgm_online, generator, online, riffle.randn(8, 2), { x = riffle.randn(4, 2) })
fails("the generator and the online network are the same network", flow.loss.fgm, generator, generator, teacher, riffle.randn(8, 2))
fails("'ratio' must be a number from 0.5 to 2", flow.loss.fgm, generator, online, teacher, riffle.randn(8, 2), { ratio = 1e300 })
fails("time_mean and time_std belong to times = 'logit_normal', got 'uniform'", flow.matching_loss, teacher, riffle.randn(4, 2), { time_mean = 3 })
fails("z must be a batch", flow.loss.fgm_online, generator, online, riffle.zeros(0, 2), { x = riffle.randn(4, 2), alpha = 0.9 })

-- Classes, guidance and their mistakes.
local net = nn.mlp { width = 16, classes = 3, null_class = true }
local labels = riffle.tensor({ 1, 2, 3, 1 }, "int32")
local guided = flow.guide(net, { scale = 2, from = 0.2, to = 0.8 })
assert(flow.loss.lfmd(guided:two_timed(), guided, riffle.randn(4, 2), { labels = labels }):item() >= 0)
flow.matching_loss(net, riffle.randn(4, 2), { labels = labels, label_dropout = 0.5 })
fails("not conditioned on anything", flow.guide, teacher, { scale = 2 })
fails("no label for none", flow.guide, nn.mlp { width = 8, classes = 3 }, { scale = 2 })
fails("from (0.8) is after to (0.2)", flow.guide, net, { scale = 2, from = 0.8, to = 0.2 })
fails("has 3 classes and needs labels", flow.matching_loss, net, riffle.randn(4, 2), { labels = {} })
fails("labels must be one int32 tensor [4]", flow.matching_loss, net, riffle.randn(4, 2), { labels = riffle.zeros(4) })
fails("labels must be from 1 to 3, or 4 for none, got 5", flow.matching_loss, net, riffle.randn(4, 2), { labels = riffle.tensor({ 1, 2, 3, 5 }, "int32") })
fails("no label for none", flow.matching_loss, nn.mlp { classes = 3 }, riffle.randn(4, 2), { labels = labels, label_dropout = 0.1 })
-- Every network that is given a dropped label has to know it.
for _, name in ipairs { "lfmd", "meanflow", "shortcut" } do
  fails("no label for none", flow.loss[name], net:two_timed(), nn.mlp { classes = 3 }, riffle.randn(4, 2), { labels = labels, label_dropout = 0.01 })
end
fails("in online", flow.loss.fgm_online, net:copy(), nn.mlp { classes = 3 }, riffle.randn(4, 2), { labels = labels, label_dropout = 0.01 })
fails("conditioned on something else", flow.guide, net, { scale = 2, weak = nn.mlp { classes = 5 } })
fails("'scale' must be a finite number", flow.guide, net, { scale = 0 / 0 })
fails("the student has 3 classes and the teacher 4", flow.loss.lfmd, net:two_timed(), nn.mlp { classes = 4 }, riffle.randn(4, 2), { labels = labels })
do
  local z, four = riffle.randn(4, 2), nn.mlp { classes = 4 }
  fails("the generator has 3 classes and the teacher 4", flow.loss.dmd, net, net:copy(), four, z, { labels = labels })
  fails("the generator has 3 classes and the teacher 4", flow.loss.fgm, net, net:copy(), four, z, { labels = labels })
  fails("the generator has 4 classes and the online network 3", flow.loss.fgm_online, four, net, z, { labels = labels })
end
-- One sample makes the initial term too.
for _ = 1, 10 do flow.loss.itvm(student, teacher, riffle.randn(1, 2), { terminal_weight = 0 }) end

-- Wrong networks, shapes and options.
fails("net:two_timed()", flow.loss.itvm, teacher, teacher, riffle.randn(4, 2))
fails("in teacher", flow.loss.lfmd, student, nn.mlp { dim = 3 }, riffle.randn(4, 2))
fails("noise and x are pairs", flow.matching_loss, teacher, riffle.randn(4, 2), { noise = riffle.randn(3, 2) })
fails("a number for each sample", flow.loss.lsd, student, nil, riffle.randn(4, 2), { weight = function() return riffle.ones(3) end })
fails("steps or stage, not both", flow.loss.consistency, student, teacher, riffle.randn(4, 2), { steps = 4, stage = 1 })
fails("did you mean 'diagonal'", flow.loss.lsd, student, nil, riffle.randn(4, 2), { diagnal = 0.5 })
fails("flow.turns", flow.turns, 3, { "online" })
fails("argument 2 'teacher' must be a network", flow.rounds, 3, nil, student)
fails("argument 3 'student' must be a network", flow.rounds, 3, student)
fails("times must be floats", teacher, riffle.randn(4, 2), riffle.zeros({ 4 }, "int32"))
fails("times must be from 0, noise, to 1, data; got 1.5", flow.jump, student, riffle.randn(2, 2), { times = { 0, 1.5 } })
fails("all rising or all falling", flow.jump, student, riffle.randn(2, 2), { times = { 0, 0.6, 0.4 } })
fails("got -1", flow.ode, teacher, riffle.randn(2, 2), { method = "dopri5", from = -1 })
fails("label_dropout drops labels, and none were given", flow.matching_loss, teacher, riffle.randn(3, 2), { label_dropout = 0.5 })
local drawn = { noise = riffle.randn(3, 2), coupling = "optimal" }
fails("noise is paired with x already", flow.matching_loss, teacher, riffle.randn(3, 2), drawn)
fails("unknown option 'coupling'", flow.loss.fgm_online, teacher, teacher, riffle.randn(3, 2), { coupling = "optimal" })
fails("option 'huber' must be a number from 1e-12", flow.matching_loss, teacher, riffle.randn(3, 2), { huber = 1e-30 })
fails("is of floats", flow.matching_loss, function(x) return x:to "int32" end, riffle.randn(3, 2))
