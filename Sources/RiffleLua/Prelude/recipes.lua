-- How riffle.flow.check trains by each method of riffle.flow.loss, what it measures then, and what passes.
local riffle, internal = ...
local _ENV = internal.lua
local nn, loss = riffle.nn, riffle.flow.loss

-- By the names of methods; internal.checked has the names in their order. A recipe has
-- - within: the largest error that passes.
-- - measure: what is compared, "map" where it has none.
-- - steps, peak, beta1: of the training, where they are not the usual ones.
-- and one of
-- - loss(student, teacher, x, target, progress, round): of a student that learns alone. With `from_data`, every second
--   step has no teacher. With `rounds`, the student of a round is the teacher of the next.
-- - players(student, online, set, batch): the student and those that learn beside it, each with its loss(z), in turns.
local recipes, names = {}, {}
internal.recipes, internal.checked = recipes, names

-- Losses of networks that learn beside a student, by the method whose check has them.
internal.companions = { fgm_online = "fgm", discriminator = "adversarial" }

-- The velocity is known and samples add no noise: what is left is what a short training leaves.
local exact <const> = 0.05
-- Half of the steps, or all, have the path's own velocity, whose noise a short training does not average out.
local noisy <const> = 0.1
-- Two networks follow each other, or a jump is learned from jumps that are learned: see docs/methods.md.
local indirect <const> = 0.2

local function recipe(name, entry)
  names[#names + 1], recipes[name] = name, entry
end

-- The loss of a method that is called as most are. An option that is a function depends on the progress.
local function called(name, options, has_target)
  return function(student, teacher, x, target, progress)
    local given = { target = has_target and target or nil }
    for option, value in pairs(options or {}) do
      given[option] = type(value) == "function" and value(progress) or value
    end
    return loss[name](student, teacher, x, given)
  end
end
local function rising(progress) return math.min(1, 2 * progress) end
local function falling(progress) return math.max(0.02, 1 - 1.5 * progress) end

-- Flow maps from a teacher.
recipe("lfmd", { loss = called "lfmd", within = exact })
recipe("itvm", { loss = called("itvm", {}, true), within = exact })
recipe("efmd", { loss = called "efmd", within = exact })
recipe("pfmm", { loss = called("pfmm", { steps = 4 }), within = exact })
recipe("ayf", { loss = called("ayf", { warmup = rising }), within = exact })

-- Flow maps from data, or a teacher.
recipe("lsd", { loss = called "lsd", from_data = true, within = noisy })
recipe("esd", { loss = called "esd", from_data = true, within = noisy })
recipe("psd", { loss = called("psd", { diagonal = 0.5 }), from_data = true, within = indirect })
recipe("tvm", { loss = called("tvm", {}, true), from_data = true, within = noisy })
recipe("meanflow", { loss = called "meanflow", from_data = true, within = noisy })
recipe("imf", { loss = called "imf", from_data = true, within = noisy })
recipe("alphaflow", { loss = called("alphaflow", { alpha = falling }), from_data = true, within = indirect })
recipe("shortcut", {
  loss = called("shortcut", { bootstrap = 0.5 }, true), from_data = true, measure = "halves", within = noisy,
})
recipe("twinflow", { loss = called("twinflow", {}, true), from_data = true, within = indirect })
recipe("fmm", { loss = function(student, _, x) return loss.fmm(student, x) end, within = noisy })
recipe("imm", { loss = function(student, _, x) return loss.imm(student, x) end, within = indirect })

-- Jumps to the data, or to the end of a segment.
recipe("consistency", { loss = called("consistency", {}, true), from_data = true, measure = "ends", within = noisy })
recipe("scm", { loss = called("scm", { warmup = rising }), from_data = true, measure = "ends", within = noisy })
recipe("facm", { loss = called "facm", from_data = true, measure = "ends", within = noisy })
recipe("consistency_fm", {
  loss = called("consistency_fm", { gap = 0.02 }, true), from_data = true, measure = "segments", within = noisy,
})

-- One evaluation in place of 64 of the first teacher.
recipe("progressive", {
  loss = function(student, teacher, x, _, _, round)
    return loss.progressive(student, teacher, x, { steps = 64 >> round })
  end,
  rounds = 6, steps = 600, measure = "jump", within = exact,
})

-- Generators that learn alone.
local function alone(generator_loss)
  return function(student, _, set, batch)
    return { { name = "student", net = student, loss = function(z) return generator_loss(student, z, set, batch) end } }
  end
end
recipe("kd", {
  players = alone(function(student, z, set, batch) return loss.kd(student, z, set.point(z, riffle.ones(batch, 1))) end),
  steps = 1500, measure = "jump", within = exact,
})
recipe("drifting", {
  players = alone(function(student, z, set, batch) return loss.drifting(student, z, set.sample(batch)) end),
  steps = 800, measure = "samples", within = noisy,
})

-- Generators with an online network, which learns the flow of their samples.
-- - turns: the online network's, for each of the generator's.
local function beside_online(name, turns)
  return function(student, online, set)
    local function follow(z) return loss.fgm_online(student, online, z) end
    local function lead(z) return loss[name](student, online, set.teacher, z) end
    return {
      { name = "online", net = online, turns = turns, loss = follow }, { name = "student", net = student, loss = lead },
    }
  end
end
recipe("fgm", {
  players = beside_online("fgm", 3), steps = 800, peak = 2e-3, beta1 = 0, measure = "samples", within = indirect,
})
recipe("dmd", {
  players = beside_online("dmd", 3), steps = 800, peak = 2e-3, beta1 = 0, measure = "samples", within = indirect,
})
recipe("freeflow", {
  players = beside_online("freeflow", 2), steps = 800, peak = 2e-3, beta1 = 0, measure = "starts", within = noisy,
})
-- The least steady of all: its errors go from 0.08 to 0.17 by the seed.
recipe("adversarial", {
  players = function(student, online, set, batch)
    local critic = nn.discriminator(online)
    local function judge(z) return loss.discriminator(critic, student, z, set.sample(batch), { r1 = 10 }) end
    return {
      { name = "critic", net = critic, turns = 2, loss = judge },
      { name = "student", net = student, loss = function(z) return loss.adversarial(student, critic, z) end },
    }
  end,
  steps = 1500, peak = 1e-3, beta1 = 0.5, measure = "samples", within = 0.25,
})
