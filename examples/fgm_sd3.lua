-- Stable Diffusion 3 or 3.5 to one evaluation by Flow Generator Matching, from prompts and noise alone: no picture is
-- read. Ends with a pipeline that riffle txt2img and diffusers take. With --tiny on a random pipeline, as a test, in
-- 20 seconds; else with --model FOLDER --prompts FILE, and --lora 64 where memory is short. Stopped, it
-- goes on from its last checkpoint.

-- The generator begins as the teacher, at a start time t* at which noise is not pure: g(z) = x + (1 - t*) v(x, t*),
-- x = (1 - t*) z. An online network learns the flow of what it makes, in turns with it (Huang et al. 2024, 2410.19310).
-- The teacher's guidance is in the loss. The paper gives neither t* nor rates nor guidance; those here are of the same
-- group's other generators: t* of SIM (EDM's deviation 2.5), rates and guidance of their SD3.5-medium at 512 pixels,
-- which trained all weights in batches of 512 on 16 GPUs. An L1 weight of 0 is the paper's own at this size.
-- At SD3-medium's true size and 512 pixels, with --lora 4 on two cores of a Xeon with AVX-512, a step of the online
-- network took 42 s and one of the generator 119 s, in 5 GB, and 16 GB while the pipeline was written. 10,000 steps of
-- one picture would take 23 days there: a real run wants a machine of many cores.
local riffle = require "riffle"
local flow, optim, data, nn = riffle.flow, riffle.optim, riffle.data, riffle.nn

local args = riffle.args {
  model = { kind = "path", help = "Stable Diffusion 3 or 3.5 as diffusers has it" },
  prompts = { kind = "path", help = "a text, a prompt a line; a .jsonl; or a file of riffle encode" },
  out = { "fgm-sd3", kind = "path", help = "the pipeline that is written" },
  run = { "runs/fgm_sd3", kind = "path", help = "the folder of the training" },
  steps = { 10000, help = "of the generator" }, online_steps = { 2, help = "of the online network before each" },
  batch = { 1, help = "pictures of an evaluation" }, parts = { 1, help = "evaluations whose gradients a step sums up" },
  size = { 512, help = "the pictures' side in pixels" }, seed = 1,
  lr = { 1e-5, help = "of the generator" }, online_lr = { 1e-5, help = "of the online network" },
  decay = { 0.99, help = "of the generator's average" },
  start = { 0.286, help = "t*" }, guidance = { 4.5, help = "of the teacher" },
  l1_weight = { 0.0, help = "1 is exact, 0 the paper's at this size" },
  shift = { kind = "number", help = "draws times nearer to the noise; the scheduler's when not given" },
  lora = { 0, help = "the rank of adapters; all weights train at 0" },
  preview = { 500, help = "steps between previews" },
  taesd = { kind = "path", help = "diffusers' AutoencoderTiny for previews, faster than the pipeline's own" },
  tiny = { false, help = "a random pipeline and a short training, which show the way and no more" },
}
local texts
if args.tiny then
  args.steps, args.preview = math.min(args.steps, 60), math.min(args.preview, 20)
  args.size, args.batch, args.lr, args.online_lr = 32, 4, 1e-3, 1e-3
  texts = { "a red car", "two blue cats", "a green dog beside a tree", "three white birds" }
elseif not args.model or not args.prompts then
  error("--model and --prompts are required, but for --tiny (--help lists the options)", 0)
end
for _, name in ipairs { "steps", "online_steps", "batch", "parts", "size", "preview" } do
  if args[name] < 1 then error(("--%s is 1 or more, got %d"):format(name, args[name]), 0) end
end
if args.lora < 0 then error("--lora is a rank of 1 or more, or 0 for none", 0) end
riffle.seed(args.seed)
local config = {} -- of the run, which another --out does not change
for name, value in pairs(args) do config[name] = value end
config.out = nil
local run = riffle.run(args.run, { config = config })
local storage = args.lora > 0 and "bfloat16" or "float32" -- what stands still takes half the memory
local sd3 = args.tiny and riffle.tiny_sd3(args.run .. "-pipeline") or riffle.sd3(args.model, { storage = storage })
print(sd3)
sd3:check_save(args.out)
local shape = { sd3:latents(args.batch, args.size, args.size) }

-- What the encoders make of the prompts, from a file beside the run where that has been done.
local function encoded()
  if args.prompts and args.prompts:find "%.safetensors$" then return data.prompts(args.prompts) end
  local path, list = args.run .. "-prompts.safetensors", texts or data.prompt_list(args.prompts)
  local found, prompts = pcall(data.prompts, path)
  if found and table.concat(prompts.texts, "\n") == table.concat(list, "\n") then return prompts end
  for number, cut in ipairs(sd3:cuts(list)) do
    if cut then print(("prompt %d is cut by CLIP, and ends with '%s'"):format(number, cut)) end
  end
  sd3:encode_prompts(list, path)
  return data.prompts(path)
end
local prompts = encoded()
print(prompts)

local teacher = sd3.network
teacher.recompute = true
local guided = flow.guide(teacher, { scale = args.guidance, none = prompts.none })
local function student() return args.lora > 0 and teacher:lora { rank = args.lora } or teacher:copy() end
local generator, online = student(), student()
local average = optim.ema(generator, { decay = args.decay })
local opts = {
  generator = optim.adamw(generator, { lr = args.lr, beta1 = 0, clip = 1.0 }),
  online = optim.adamw(online, { lr = args.online_lr, beta1 = 0, clip = 1.0 }),
}

local function noise(count) return riffle.randn(count, table.unpack(shape, 2)) end
local shift = args.shift or sd3.shift
local losses = {
  generator = function(labels)
    return flow.loss.fgm(generator, online, guided, noise(args.batch), {
      labels = labels, start = args.start, shift = shift, l1_weight = args.l1_weight,
    })
  end,
  online = function(labels)
    return flow.loss.fgm_online(generator, online, noise(args.batch), {
      labels = labels, start = args.start, shift = shift,
    })
  end,
}

-- Pictures of the first prompts, from the same noise each time.
local shown = prompts:batches({ size = math.min(4, #prompts) })()
local shown_noise = noise(#shown.captions)
local decoder = args.taesd and nn.load(args.taesd) or sd3
local function preview()
  local latents = flow.generate(average.model, shown_noise, { labels = shown.labels, start = args.start })
  run:image("generator", decoder:decode(latents):clamp(-1, 1), { columns = 2 })
end

local turns = flow.turns(args.steps, { "online", args.online_steps, "generator", 1 })
local batches = prompts:batches { size = args.batch, shuffle = true, repeat_ = true, seed = args.seed }
run:track { generator = generator, online = online, average = average, turns = turns, batches = batches }
run:track { generator_opt = opts.generator, online_opt = opts.online }
for step, who in run:steps(turns) do
  local opt = opts[who]
  for _ = 1, args.parts do opt:accumulate(losses[who](batches().labels), 1 / args.parts) end
  run:log { [who] = opt:step().loss }
  if who == "generator" then
    average:update()
    if step % args.preview == 0 or step == args.steps then preview() end
  end
end

sd3:save(args.out, { network = average.model, start = args.start })
print(("riffle txt2img %s \"%s\" --out picture.png"):format(args.out, prompts.texts[1]))
