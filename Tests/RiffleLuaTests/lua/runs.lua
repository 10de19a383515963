-- Arguments of scripts, runs and checkpoints: what they give, and their mistakes.
local riffle, fails = require "riffle", require "shared.fails"
local nn, optim, flow = riffle.nn, riffle.optim, riffle.flow

-- Options from a command line.
local function args(line, options)
  local words = { [0] = "train.lua" }
  for word in line:gmatch("%S+") do words[#words + 1] = word end
  arg = words
  return riffle.args(options)
end
local options = {
  steps = 20, lr = 4e-4, name = "a", quick = false, dark = { true, help = "h" },
  data = { kind = "path" }, form = { "png", choices = { "png", "npy" } },
}
local got = args("", options)
assert(got.steps == 20 and got.lr == 4e-4 and got.name == "a" and got.quick == false and got.dark and got.data == nil)
options.save = false
got = args("--steps 1e3 --lr=3 --name=--x --quick --no-dark --data b/c --form npy --save", options)
assert(got.steps == 1000 and math.type(got.steps) == "integer" and got.lr == 3 and math.type(got.lr) == "float")
assert(got.name == "--x" and got.quick and not got.dark and got.data == "b/c" and got.form == "npy" and got.save)
assert(args("--save-every 3", { save_every = 1 }).save_every == 3 and args("--save_every 3", { save_every = 1 }).save_every == 3)
for _, mistake in ipairs {
  { "there is no option '--stepz', did you mean '--steps'?", "--stepz 3" }, { "--steps needs a whole number, got '2.5'", "--steps 2.5" },
  { "--steps needs a value", "--steps" }, { "--lr needs a number, got 'x'", "--lr x" }, { "is given twice", "--lr 1 --lr 2" },
  { "'moons' is no option", "moons" }, { "--quick takes no value", "--quick=1" }, { "--form is one of png, npy, got 'x'", "--form x" },
} do
  fails(mistake[1], args, mistake[2], options)
end
fails("--data is required: a folder", args, "", { data = { kind = "path", required = true, help = "a folder" } })
fails("has an unknown field 'hlep', did you mean 'help'?", args, "", { a = { 1, hlep = "x" } })
fails("option 'a' has an unknown kind, 'int'", args, "", { a = { 1, kind = "int" } })
fails("option 'a' needs a default or a kind", args, "", { a = {} })
fails("is required, and has a default", args, "", { a = { 1, required = true } })
fails("each option needs a name", args, "", { "steps" })
fails("argument 1 'options' must be a table", args, "", 3)
arg = { [0] = "runs.lua" }

-- What is tracked, and what a table of one's own may hold.
local folder = os.tmpname() .. "-run"
local net = nn.linear(2, 1)
local opt = optim.adamw(net, { lr = 0.1 })
local run = riffle.run(folder, { save_every = 2, config = { lr = 0.1, sizes = { 1, 2 } } })
fails("nothing is tracked", run.steps, run, 5)
fails("there is nothing in the table", run.track, run, {})
fails("a table of objects by name is needed", run.track, run, 3)
fails("each object needs a name", run.track, run, { net })
fails("'x' is a tensor [1], which has no state", run.track, run, { x = riffle.ones(1) })
fails("'f' is a function", run.track, run, { f = print })
fails("letters, digits and _ alone, got 'a b'", run.track, run, { ["a b"] = {} })
fails("'t' has names and numbers as keys", run.track, run, { t = { 1, a = 2 } })
fails("'t' has the key 5", run.track, run, { t = { [5] = 1 } })
fails("'t.f' is a function", run.track, run, { t = { f = print } })
local circle = {}
circle.me = circle
fails("contains itself", run.track, run, { t = circle })
local mine = { best = math.huge, seen = {}, mean = riffle.ones(2), part = { done = false } }
run:track { net = net, opt = opt, mine = mine }
collectgarbage() -- what is tracked is kept, though no variable of Lua holds the list
fails("'net' is tracked already", run.track, run, { net = net })
fails("is the object that is tracked as 'opt'", run.track, run, { again = opt })
fails("is in use by another process", riffle.run, folder)
fails("unknown option 'sav_every', did you mean 'save_every'?", riffle.run, folder, { sav_every = 3 })
fails("'config' takes numbers", riffle.run, folder, { config = { f = print } })
fails("argument 2 'source' must be batches or turns", run.steps, run, 3, 4)
fails("turns stand alone", run.steps, run, flow.turns(2, { "a", 1 }), 3)
fails("'step' is a column of the log's own", run.log, run, { step = 1 })
fails("take its mean", run.log, run, { a = riffle.ones(2) })
fails("must be a table of values by name, such as { name = value }, got a list of 2", run.log, run, { 1, 2 })
fails("got one without a name", run.log, run, { 1, loss = 2 })
fails("got one without a name", run.log, run, { [5] = 1 })
fails("the name of a picture", run.image, run, "../x", riffle.ones(1, 4, 4, 3))

-- A loop that is left writes a checkpoint, and the next one goes on behind it with everything as it was.
local function step()
  local report = opt:step(net(riffle.randn(4, 2)):square():mean())
  mine.seen[#mine.seen + 1], mine.part.done, mine.best = report.loss, true, math.min(mine.best, report.loss)
  mine.mean = mine.mean * 0.5
end
riffle.seed(3)
for number in run:steps(6) do
  step()
  run:log { loss = mine.best }
  if number == 3 then break end
end
run:close()
local numbers, x = table.concat(mine.seen, " "), riffle.randn(1):item()
mine.seen, mine.part, mine.best, mine.mean = nil, nil, 0, riffle.zeros(1)
net, opt = nn.linear(2, 1), nil
opt = optim.adamw(net, { lr = 0.1 })
run = riffle.run(folder, { save_every = 2, config = { lr = 0.1, sizes = { 1, 2 } } })
run:track { net = net, opt = opt, mine = mine }
local first
for number in run:steps(6) do
  first = first or number
  if number == 4 then
    assert(table.concat(mine.seen, " ") == numbers and mine.part.done and mine.mean:tolist()[2] == 0.125 and opt.steps == 3)
    assert(riffle.randn(1):item() == x)
  end
  step()
end
assert(first == 4 and run.step == 6 and #mine.seen == 6)
fails("this run has had its loop", run.steps, run, 7)
run:close()
fails("is closed", run.log, run, { a = 1 })
fails("lr is 0.2, and was 0.1", riffle.run, folder, { config = { lr = 0.2, sizes = { 1, 2 } } })
run = riffle.run(folder, { config = { lr = 0.2 }, allow_changes = true })
run:track { net = nn.linear(2, 2), opt = opt, mine = mine }
fails("'net': load: of another shape: weight is [1, 2], not [2, 2]", run.steps, run, 8)
run:close()
os.execute("rm -r " .. folder)

-- Steps whose numbers go wrong, parts of a batch among them.
folder = os.tmpname() .. "-run"
run = riffle.run(folder, { on_bad_numbers = "skip" })
run:track { net = net, opt = opt }
local before
for number in run:steps(3) do
  local function loss(scale) return (net(riffle.randn(4, 2)) * scale):square():mean() end
  if number == 2 then
    before = net.weight:tolist()[1][1]
    opt:accumulate(loss(1), 0.5)
    assert(opt:accumulate(loss(1e30), 0.5) ~= 0)
    local report = opt:step()
    assert(report.loss ~= report.loss and net.weight:tolist()[1][1] == before)
  else
    opt:step(loss(1))
  end
end
assert(run.bad_steps == 1 and net.weight:tolist()[1][1] ~= before)
run:close()
os.execute("rm -r " .. folder)
