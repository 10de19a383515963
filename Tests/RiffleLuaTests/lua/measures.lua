-- Measures of pictures: what is measured, what a number says of itself, and what is refused.
local riffle = require "riffle"
local fails = require "shared.fails"
local data, metrics, nn = riffle.data, riffle.metrics, riffle.nn

local folder = os.tmpname()
os.remove(folder)
assert(os.execute("mkdir " .. folder))
riffle.seed(4)
local real, made = riffle.rand(40, 8, 8, 3), riffle.rand(30, 8, 8, 3) * 0.5
local function colours(x) return x:mean({ 2, 3 }) end
local features = metrics.features(colours, { name = "colours", size = 8 })

-- A distance is called FID in Inception's published features alone, and says what it is of.
local distance = metrics.frechet(real, made, { features = features, note = "a test" })
assert(distance.name == "FD" and distance.value > 0 and tostring(distance):find("^FD "))
for _, part in ipairs { "tf1 resize", "colours", "30 samples", "reference a tensor 40", "a test" } do
  assert(distance.protocol:find(part, 1, true), part)
end
assert(metrics.frechet(real, real, { features = features }).value == 0)
assert(metrics.frechet(real[1]:reshape(1, 8, 8, 3):expand(2, 8, 8, 3), real, { features = features }).protocol
  :find("too few samples for 3 features"))

-- Numbers are rounded to bytes first: less than half a step is no difference.
assert(metrics.frechet(real, (real * 127.5):floor() / 127.5 + 1e-4, { features = features }).value < 1e-4)

-- Statistics are kept, compared with, and not mixed with those of another protocol.
local statistics = features:statistics(real)
statistics:save(folder .. "/real.npz")
assert(math.abs(metrics.frechet(statistics, made, { features = features }).value - distance.value) < 1e-9)
assert(math.abs(metrics.frechet(folder .. "/real.npz", made, { features = features }).value - distance.value) < 1e-9)
fails("are of colours, tf1 resize, and the features are of colours, clean resize", function()
  metrics.frechet(statistics, made, { features = features, resize = "clean" })
end)
fails("'reference' must be pictures", function() metrics.kid(statistics, made, { features = features }) end)
assert(metrics.frechet(real, real, { features = metrics.features(colours) }).protocol:find("own size, a function"))
local grey = metrics.features(function(x) return x:mean({ 2, 3, 4 }):reshape(x:shape()[1], 1) end)
fails("the statistics of real.npz are of colours, tf1 resize, and the features are of a function, own size", function()
  metrics.frechet(folder .. "/real.npz", made, { features = grey })
end)
fails("are of colours, tf1 resize, and the features are of colours, clean resize", function()
  metrics.frechet(folder .. "/real.npz", made, { features = features, resize = "clean" })
end)

-- Other measures.
local kid = metrics.kid(real, made, { features = features, subsets = 10, subset_size = 20, seed = 3 })
assert(kid.name == "KD" and kid.deviation > 0 and kid.protocol:find("10 subsets of 20 by seed 3", 1, true))
-- Subsets as large as the sets are all the same one, and have no deviation.
local whole = metrics.kid(real, real * 0.5, { features = features })
assert(whole.deviation == nil and whole.protocol:find("all at once", 1, true))
local same = metrics.precision_recall(real, real, { features = features, neighbours = 1 })
assert(same.precision == 1 and same.recall == 1 and same.coverage == 1)
assert(metrics.inception_score(made, features, { splits = 2 }).name == "classifier score")

-- Pictures that cannot be measured.
fails("floats of pictures lie between -1 and 1, and these go from 0 to 255", function()
  metrics.frechet(real, ((real * 2 - 1):sign() + 1) * 127.5, { features = features })
end)
fails("two pictures or more", function()
  metrics.frechet(real[1]:reshape(1, 8, 8, 3), made, { features = features })
end)
fails("NaN", function() metrics.frechet(real * (0 / 0), made, { features = features }) end)
fails("pictures are [n, height, width, channels]", function()
  metrics.frechet(real[1], made, { features = features })
end)
fails("cannot", function() metrics.frechet(folder .. "/nowhere", made, { features = features }) end)
fails("features are NaN or infinite", function()
  metrics.frechet(real, made, { features = metrics.features(function(x) return colours(x) / 0 end) })
end)

-- A feature network's file is known by its tensors, and by its hash.
local net, path = nn.feature_network("efficientnet-lite0"), folder .. "/weights.safetensors"
net:save(path)
local extractor = metrics.features(path)
assert(tostring(extractor):find("^efficientnet%-lite0 sha %x+, not the published 57934424$"), tostring(extractor))
local x = made[1]:reshape(1, 8, 8, 3)
assert(extractor(x):shape()[2] == 1280)
assert((extractor(x) - metrics.features(net)(x)):abs():max():item() == 0)
assert((extractor(x:slice(4, 1, 1)) - extractor(x:slice(4, 1, 1):expand(1, 8, 8, 3))):abs():max():item() == 0)
fails("no values 'pool'; there are reduction_1, reduction_2", function() metrics.features(path, { tap = "pool" }) end)
nn.linear(2, 3):save(path)
fails("its tensors are those of no feature network", function() metrics.features(path) end)
fails("'vgg16' is the name of published weights", function() metrics.features(colours, { name = "vgg16" }) end)
fails("the weights 'vgg16' are not there: put vgg16-397923af.pth", function() metrics.features("vgg16") end)
fails("the weights 'lpips-alexnet' are not there", function()
  nn.feature_network("alexnet"):save(path)
  metrics.perceptual(path)
end)

-- A classifier of one's own is a feature network, known by its file; distances that it is the backbone of are no LPIPS.
local own = nn.classifier(2, { size = 16, channels = 8 })
own:save(path)
local extractor = metrics.features(path)
assert(tostring(extractor):find("^classifier sha %x+$") and extractor(x):shape()[2] == 64)
local distance_of = metrics.perceptual(path)
local a, b = riffle.rand(4, 16, 16, 3), riffle.rand(4, 16, 16, 3)
local apart = metrics.lpips(a, b, { network = distance_of })
assert(apart.name == "PD" and apart.value > 0 and apart.protocol:find("cosines on classifier", 1, true), tostring(apart))
assert(metrics.lpips(a, a, { network = distance_of }).value == 0)
fails("takes a classifier's logits", function() metrics.inception_score(made, extractor) end)
local scores = metrics.features(path, { tap = "logits" })
assert(metrics.inception_score(made, scores, { splits = 2 }).name == "classifier score")
fails("weights by channel are for AlexNet, VGG-16 and SqueezeNet 1.1", function() metrics.perceptual(path, path) end)
nn.feature_network("squeezenet1.1"):save(path)
local channels, lines = { 64, 128, 256, 384, 384, 512, 512 }, {}
for i, count in ipairs(channels) do lines[("lin%d.model.1.weight"):format(i - 1)] = riffle.rand(1, count, 1, 1) end
data.save(folder .. "/lines.safetensors", lines)
local random = metrics.perceptual(path, folder .. "/lines.safetensors")
assert(metrics.lpips(riffle.rand(2, 32, 32, 3), riffle.rand(2, 32, 32, 3), { network = random }).name == "PD")
fails("takes 2 or more classes, a side of 16 or more, and channels in multiples of 8", function()
  nn.classifier(2, { channels = 12 })
end)

-- Statistics of a reference are kept beside its files, by what the pictures are.
local npy, kept = folder .. "/real.npy", folder .. "/real.npy.statistics"
data.save(npy, real)
local first = metrics.frechet(npy, made, { features = extractor })
local listing = io.popen("ls " .. kept):read("a")
assert(listing:find("^real.npy%-classifier%-features%-%x+%-tf1%-%x+.npz\n$"), listing)
assert(metrics.frechet(npy, made, { features = extractor }).value == first.value)
-- What is kept under another protocol, or of other pictures, is made anew.
local name = kept .. "/" .. listing:gsub("\n", "")
for _, other in ipairs { features:statistics(real), extractor:statistics(real:slice(1, 1, 20)) } do
  other:save(name)
  assert(metrics.frechet(npy, made, { features = extractor }).value == first.value)
end
assert(metrics.frechet(data.images(npy, { size = 4 }), made, { features = extractor }).protocol
  :find("(resized from 8 high and 8 wide to 4 high and 4 wide by lanczos)", 1, true))
data.save(npy, real * 0.5)
assert(metrics.frechet(npy, made, { features = extractor }).value ~= first.value)
assert(select(2, io.popen("ls " .. kept):read("a"):gsub("\n", "")) == 3)

-- Models by number of evaluations, and the files of the table.
local teacher = nn.unet { image = { 8, 8, 3 }, channels = 32, multipliers = { 1 }, blocks = 1 }
local found = metrics.by_nfe({
  teacher = { net = teacher, sampler = "heun", nfe = { 2 } }, student = teacher:two_timed(),
}, real, { nfe = { 1, 4 }, n = 6, measures = { "fid", "precision_recall" }, features = features, teacher = "teacher" })
assert(#found.rows == 3 and found.rows[1].model == "teacher" and found.rows[1].evaluations == 2)
assert(found.rows[1].sampler == "heun" and found.rows[3].sampler == "jump" and found.rows[3].evaluations == 4)
assert(found.rows[1].samples == 6 and found.rows[2]["FD protocol"]:find("noise of seed 0"))
-- Generators are measured from their own start on; pictures that a folder keeps are those of one start.
local function generator(start, kept)
  local model = { net = teacher, sampler = "generate", start = start }
  return metrics.by_nfe({ generator = model }, real, { nfe = { 2 }, n = 6, features = features, folder = kept }).rows[1]
end
local early, late = generator(0), generator(0.2)
assert(early.sampler == "generate" and late.sampler == "generate from 0.2" and early.FD ~= late.FD)
assert(generator(0.2, folder .. "/generated").FD == late.FD and generator(0, folder .. "/generated").FD == early.FD)
-- Below the table stands what all rows have in common.
local text = tostring(found)
assert(text:find("FD: tf1 resize, colours", 1, true) and text:find("noise of seed 0", 1, true), text)
assert(not text:find("samples of student", 1, true), text)
for _, ending in ipairs { "csv", "json", "png" } do
  found:save(folder .. "/table." .. ending)
  assert(io.open(folder .. "/table." .. ending)):close()
end
fails("written as .csv, .json or .png", function() found:save(folder .. "/table.txt") end)
fails("the number of evaluations '2' is there twice", function()
  metrics.by_nfe({ teacher = teacher }, real, { nfe = { 2, 2 }, features = features })
end)
fails("teacher: heun takes 2 evaluations a step", function()
  metrics.by_nfe({ teacher = { net = teacher, sampler = "heun", nfe = { 1 } } }, real, { features = features })
end)
fails("LPIPS needs its network", function()
  metrics.by_nfe({ teacher = teacher }, real, { measures = { "lpips" }, features = features })
end)
fails("nfe of the model 'teacher' must be positive whole numbers", function()
  metrics.by_nfe({ teacher = { net = teacher, nfe = { 1, 0 } } }, real, { features = features })
end)
fails("teacher: start is for the sampler generate, and heun begins at 0", function()
  metrics.by_nfe({ teacher = { net = teacher, sampler = "heun", start = 0.2, nfe = { 2 } } }, real, { features = features })
end)
fails("start of the model 'teacher' must be a time", function()
  metrics.by_nfe({ teacher = { net = teacher, sampler = "generate", start = "late" } }, real, { features = features })
end)
fails("the model 'teacher' has no sampler 'hewn'", function()
  metrics.by_nfe({ teacher = { net = teacher, sampler = "hewn" } }, real, { features = features })
end)

-- A log keeps the protocol beside the number.
local run = riffle.run(folder .. "/run", {})
run:track { teacher = teacher }
for _ in run:steps(1) do run:log { fd = distance } end
run:close()
local row = assert(io.open(folder .. "/run/log.jsonl")):read("a")
assert(row:find('"fd":', 1, true) and row:find("colours, 30 samples", 1, true), row)
os.execute("rm -r " .. folder)
