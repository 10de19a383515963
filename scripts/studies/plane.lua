-- What the studies of 2-D sets share: teachers that are kept in files, and measures of samples.
local riffle = require "riffle"
local nn, flow, optim, data, metrics = riffle.nn, riffle.flow, riffle.optim, riffle.data, riffle.metrics

local plane = {}

-- The teacher of a set and a seed, from its file where there is one, else trained for `steps` and saved.
function plane.teacher(name, seed, steps, rate)
  local path, set = ("teacher-%s-%d-%d.safetensors"):format(name, seed, steps), data[name]()
  riffle.seed(seed)
  local net = nn.mlp { dim = 2, width = 128 }
  local file = io.open(path)
  if file then
    file:close()
    return net:load(path)
  end
  local average, opt = optim.ema(net, { decay = 0.999 }), optim.adamw(net, { lr = rate, clip = 1.0 })
  for step = 1, steps do
    opt.lr = optim.cosine(step, { peak = rate, warmup = 100, total = steps })
    opt:step(flow.matching_loss(net, set:sample(512)))
    average:update()
  end
  average.model:save(path)
  return average.model
end

-- The numbers of points in the cells of a histogram, by cell; points outside the bounds are in none.
local function histogram(points, low, high, bins)
  local counts, scale = {}, bins / (high - low)
  for _, point in ipairs(points:tolist()) do
    local x, y = (point[1] - low) * scale, (point[2] - low) * scale
    if x >= 0 and x < bins and y >= 0 and y < bins then
      local cell = math.floor(x) * bins + math.floor(y)
      counts[cell] = (counts[cell] or 0) + 1
    end
  end
  return counts
end

-- The part of the set's cells that samples reach. The set's are those of 50 x 50 over the data in which 64 000 points
-- of the data have at least 16; samples reach a cell that has at least a quarter of what the data have there.
local function covering(truth)
  local low, high, bins = truth:min():item(), truth:max():item(), 50
  local wanted, share = histogram(truth, low, high, bins), 64000 / #truth
  return function(samples)
    local found, cells, reached = histogram(samples, low, high, bins), 0, 0
    for cell, count in pairs(wanted) do
      if count * share >= 16 then
        cells = cells + 1
        if (found[cell] or 0) / #samples >= 0.25 * count / #truth then reached = reached + 1 end
      end
    end
    return reached / cells
  end
end

-- A function that measures a sampler, which makes samples of noise: sliced Wasserstein distance to the data and squared
-- distance to the teacher's endpoints by 20 000 samples, KL and the part of the set's cells that are reached by 64 000.
function plane.measuring(name, seed, teacher)
  riffle.seed(1000 + seed)
  local set, few, noise = data[name](), 20000, riffle.randn(64000, 2)
  local truth, masses = set:sample(few), name == "checkerboard" and set or set:sample(1000000)
  local cover = covering(set:sample(200000))
  local exact = flow.ode(teacher, noise:slice(1, 1, few), { method = "rk4", steps = 12 })
  return function(sample)
    local made = sample(noise)
    local some = made:slice(1, 1, few)
    return {
      metrics.sliced_wasserstein(some, truth), metrics.histogram_kl(made, masses), metrics.endpoint_mse(some, exact),
      cover(made),
    }
  end
end

-- Where in (s, t) a student's error lies: for each pair of times of the grid, the mean square distance of u(x, s, t)
-- from the average velocity of the teacher's flow, on 8000 of its trajectories. Returns the grid, and the errors by s
-- and t.
function plane.errors(seed, teacher, student)
  riffle.seed(3000 + seed)
  local grid, n, states, errors = { 0, 0.25, 0.5, 0.75, 0.9, 1 }, 8000, {}, {}
  states[1] = riffle.randn(n, 2)
  for i = 2, #grid do
    states[i] = flow.ode(teacher, states[i - 1], { method = "rk4", from = grid[i - 1], to = grid[i], steps = 16 })
  end
  for i, s in ipairs(grid) do
    errors[i] = {}
    for j = i, #grid do
      local from, to = riffle.full({ n }, s), riffle.full({ n }, grid[j])
      errors[i][j] = riffle.no_grad(function()
        local exact = i == j and teacher(states[i], from) or (states[j] - states[i]) / (grid[j] - s)
        return (student(states[i], from, to) - exact):square():mean():item()
      end)
    end
  end
  return grid, errors
end

return plane
