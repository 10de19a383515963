-- Runs and checkpoints: what is tracked, the loop, and files of states.
local riffle, internal = ...
local _ENV = internal.lua
local define, expect, fail = internal.define, internal.expect, internal.fail
local describe, kind = internal.describe, internal.kind

-- For each run, and for the list of a checkpoint outside runs, while they live: the user's own tables, by the notes
-- that hold their values in checkpoints.
local own = setmetatable({}, { __mode = "k" })

-- Checks that a table of the user's own comes back from a file as it went there: keys are names, or 1 to n.
local function check(value, path, around)
  if type(value) ~= "table" or getmetatable(value) and kind(value) ~= "table" then return end
  if around[value] then fail(("'%s' contains itself"):format(path)) end
  around[value] = true
  local count, names = #value, 0
  for key, item in pairs(value) do
    if type(key) == "string" then
      names = names + 1
    elseif math.type(key) ~= "integer" or key < 1 or key > count then
      fail(("'%s' has the key %s; the keys of a tracked table are names, or 1 to n"):format(path, describe(key)))
    end
    local word = kind(item)
    if type(item) == "function" or type(item) == "userdata" and word ~= "tensor" and word ~= "parameter" then
      local way = word == "function" and "" or "; it needs a name of its own"
      fail(("'%s.%s' is %s, which a tracked table cannot hold%s"):format(path, key, describe(item), way))
    end
    if type(item) == "string" and not utf8.len(item) then fail(("'%s.%s' is no UTF-8 text"):format(path, key)) end
    check(item, path .. "." .. key, around)
  end
  if names > 0 and count > 0 then
    fail(("'%s' has names and numbers as keys; a tracked table has one kind"):format(path))
  end
  around[value] = nil
end

-- Adds objects to a list of tracked ones, in the order of their names. The holder is what lives as long as the user's
-- own tables are needed: the run, since its list is a new value of Lua each time.
local function track(title, tracked, objects, holder)
  if type(objects) ~= "table" or getmetatable(objects) then
    fail(title .. ": a table of objects by name is needed, such as { net = net, opt = opt }, got " .. describe(objects))
  end
  local names = {}
  for name in pairs(objects) do
    if type(name) ~= "string" then
      fail(title .. ": each object needs a name, as in { net = net }, got " .. describe(name))
    end
    names[#names + 1] = name
  end
  if #names == 0 then fail(title .. ": there is nothing in the table") end
  table.sort(names)
  local tables = own[holder] or {}
  own[holder] = tables
  for _, name in ipairs(names) do
    local object = objects[name]
    if type(object) == "table" and not getmetatable(object) then
      check(object, name, {})
      local notes = internal.notes()
      internal.track(title, tracked, name, notes)
      tables[notes] = { name = name, table = object }
    else
      internal.track(title, tracked, name, object)
    end
  end
end

-- Puts the values of the user's own tables where checkpoints find them.
local function note(holder)
  for notes, entry in pairs(own[holder] or {}) do
    check(entry.table, entry.name, {})
    internal.set_notes(notes, entry.table)
  end
end

-- Sets the user's own tables to the values of a checkpoint.
local function recall(holder)
  for notes, entry in pairs(own[holder] or {}) do
    for key in pairs(entry.table) do entry.table[key] = nil end
    for key, value in pairs(internal.get_notes(notes)) do entry.table[key] = value end
  end
end

local tracked_summary = "by name, what has a state: modules, optimizers, averages, batches, turns, tables of your "
  .. "own values"

define("checkpoint.save", {
  summary = "Writes the states of objects and of the random numbers to one file, whole or not at all.",
  arguments = { { "path", "string", "ends in .safetensors" }, { "objects", "table", tracked_summary } },
  example = [[
> local net = riffle.nn.linear(2, 1)
> local opt, path, mine = riffle.optim.adamw(net), os.tmpname(), { best = 0.25 }
> riffle.checkpoint.save(path, { net = net, opt = opt, mine = mine })
> mine.best = 1
> riffle.checkpoint.load(path, { net = net, opt = opt, mine = mine })
> os.remove(path)
> mine.best
0.25]],
}, function(path, objects)
  expect("checkpoint.save", 1, "path", path, "string")
  local tracked = internal.tracked()
  track("riffle.checkpoint.save", tracked, objects, tracked)
  note(tracked)
  internal.checkpoint_save(path, tracked)
end)

define("checkpoint.load", {
  summary = "Sets objects and the random numbers to the states of a file, all of them or none.",
  arguments = { { "path", "string" }, { "objects", "table", "by the names that they were saved under" } },
  example = [[
> local net, path = riffle.nn.linear(2, 1), os.tmpname()
> riffle.checkpoint.save(path, { net = net })
> local x = riffle.randn(1)
> riffle.checkpoint.load(path, { net = net })
> os.remove(path)
> (riffle.randn(1) - x):item()
0.0]],
}, function(path, objects)
  expect("checkpoint.load", 1, "path", path, "string")
  local tracked = internal.tracked()
  track("riffle.checkpoint.load", tracked, objects, tracked)
  internal.checkpoint_load(path, tracked)
  recall(tracked)
end)

define("run:track", {
  summary = "Names everything that has a state, which checkpoints keep and a run goes on from.",
  arguments = { { "run", "run" }, { "objects", "table", tracked_summary } },
  example = [[
> local net, folder = riffle.nn.linear(2, 1), os.tmpname() .. "-run"
> local run = riffle.run(folder)
> run:track { net = net }
> run:close(); os.execute("rm -r " .. folder)]],
}, function(run, objects)
  expect("run:track", 1, "run", run, "run")
  track("run:track", internal.run_tracked(run), objects, run)
  return run
end)

local function write(run)
  note(run)
  return internal.run_write(run)
end

define("run:steps", {
  summary = "The loop of a run: goes on behind the last checkpoint, writes checkpoints, and heeds signals.",
  arguments = {
    { "run", "run" },
    { "steps", "integer or turns", "how many there are, those of earlier processes included; or flow.turns" },
    { "source", "batches", "gives each step a batch, on over the ends of epochs", "nil" },
  },
  example = [[
> local net, folder = riffle.nn.linear(2, 1), os.tmpname() .. "-run"
> local run, count = riffle.run(folder):track { net = net }, 0
> for step in run:steps(3) do count = count + step end
> run:close(); os.execute("rm -r " .. folder)
> count
6]],
}, function(run, steps, source)
  expect("run:steps", 1, "run", run, "run")
  if kind(steps) == "turns" then
    if source ~= nil then fail("run:steps: turns stand alone, got a source, too") end
    steps, source = steps.steps, steps
  end
  if math.type(steps) ~= "integer" or steps < 0 then
    fail("run:steps: argument 1 'steps' must be an integer from 0 on, or turns, got " .. describe(steps))
  end
  local loop, bar, is_resumed = internal.run_begin(run, steps, source)
  if is_resumed then recall(run) end
  if internal.run_has_news(run) then write(run) end
  local is_running, is_over, done = false, false, run.step

  -- Ends the iteration that ran.
  local function finish()
    local step, demand = internal.run_finish(loop)
    is_running = false
    bar:advance(step)
    if not demand then return end
    local is_saved = write(run)
    if demand == "stop" then
      bar:finish()
      os.exit(internal.run_stop(run, is_saved))
    end
  end

  local function leave(is_done)
    is_over = true
    local is_saved = not internal.run_has_news(run) or write(run)
    if run.step > done then bar:finish() end
    if internal.run_end(run, is_done, is_saved) then os.exit(internal.run_stop(run, is_saved)) end
  end

  local function turn()
    if is_over then return nil end
    if is_running then finish() end
    local step, item = internal.run_next(loop)
    if step == nil then
      leave(true)
      return nil
    end
    is_running = true
    return step, item
  end

  -- A loop that the script leaves is over, with a checkpoint; one that an error ends is not.
  local guard = setmetatable({}, { __close = function(_, problem)
    if is_over or problem ~= nil then return bar:finish() end
    if is_running then finish() end
    leave(false)
  end })
  return turn, nil, nil, guard
end)

define("run:checkpoint", {
  summary = "Writes a checkpoint: at the end of the step that runs, or at once outside the loop.",
  arguments = { { "run", "run" } },
  example = [[
> local folder = os.tmpname() .. "-run"
> local run = riffle.run(folder):track { net = riffle.nn.linear(2, 1) }
> run:checkpoint()
> run:close(); os.execute("rm -r " .. folder)]],
}, function(run)
  expect("run:checkpoint", 1, "run", run, "run")
  if not internal.run_ask(run) then write(run) end
end)
