-- Adapters of low rank on networks of Swift and of Lua, in a training and in files.
local riffle = require "riffle"
local fails = require "shared.fails"
local nn, flow, optim = riffle.nn, riffle.flow, riffle.optim

riffle.seed(4)
local function gap(a, b) return (a - b):abs():max():item() end
local base = nn.mlp { width = 32, depth = 2 }
local x, t = riffle.randn(8, 2), riffle.rand(8)

-- A copy with adapters learns, and its base stands still.
local before, start = base:copy(), base(x, t)
local net = base:lora { rank = 4, alpha = 8, match = { "hidden" } }
assert(gap(net(x, t), start) == 0 and tostring(net):find("adapters of rank 4 on 2 layers", 1, true))
local opt, average = optim.adamw(net, { lr = 1e-2 }), optim.ema(net, { decay = 0.5 })
assert(tostring(opt):find("optimizer of 4 parameters", 1, true), tostring(opt))
for _ = 1, 5 do
  opt:step(flow.matching_loss(net, riffle.randn(8, 2)))
  average:update()
end
assert(gap(net(x, t), start) > 1e-3 and gap(average.model(x, t), start) > 1e-3)
assert(gap(base(x, t), start) == 0 and gap(base.input.weight, before.input.weight) == 0)

-- Two adapters on one base; one is merged, and taken out again.
local path = os.tmpname()
net:save(path)
local again, other = base:lora { from = path }, base:lora { rank = 2 }
assert(gap(again(x, t), net(x, t)) == 0 and gap(other(x, t), start) == 0)
local merged = net:merge_lora()
assert(gap(merged(x, t), net(x, t)) < 1e-5)
assert(gap(merged:lora({ from = path }):merge_lora({ scale = -1 })(x, t), start) < 1e-5)

-- A student with a second time, taught by the network that it began as.
local student = net:two_timed()
local learning = optim.adamw(student, { lr = 1e-2 })
for _ = 1, 2 do learning:step(flow.loss.itvm(student, net, riffle.randn(8, 2))) end
student:save(path)
local later = base:two_timed():lora { from = path }
assert(gap(later(x, t, 1), student(x, t, 1)) == 0 and gap(later(x, t, 1), later(x, t, t)) > 0)

-- A network of Lua, of convolutions too; groups have no adapters.
local own = nn.module {
  blocks = { nn.conv2d(2, 4), nn.conv2d(4, 4, { groups = 2 }) }, last = nn.linear(4, 2),
  forward = function(self, h)
    for _, block in ipairs(self.blocks) do h = block(h):silu() end
    return self.last(h)
  end,
}
local picture = riffle.randn(1, 4, 4, 2)
local adapted = own:lora { rank = 2 }
assert(adapted:count() - own:count() == 2 * (2 * 9 + 4) + 2 * (4 + 2))
assert(gap(adapted(picture), own(picture)) == 0)
for name, p in pairs(adapted:parameters()) do
  if name:find("lora_B", 1, true) then p:assign(riffle.randn(table.unpack(p:shape()))) end
end
assert(gap(adapted(picture), own(picture)) > 0.01)
assert(gap(adapted:copy()(picture), adapted(picture)) == 0)
assert(gap(adapted:merge_lora()(picture), adapted(picture)) < 1e-5)
fails("layer 'blocks.2': its channels are in groups", function() own:lora { rank = 2, match = { "blocks" } } end)

-- Guidance is around the adapted network, not under adapters.
local guided = flow.guide(base, { scale = 2, weak = before }):lora { rank = 2 }
fails("adapt the network that is guided", function() guided:two_timed() end)
assert(flow.guide(net, { scale = 2, weak = before }):two_timed():times() == 2)

-- Mistakes.
fails("give a rank, or from = path", function() base:lora {} end)
fails("the file says what rank is", function() base:lora { from = path, rank = 2 } end)
fails("'hiden' is in no layer's name", function() base:lora { rank = 2, match = { "hiden" } } end)
fails("these are adapters, and no whole network; load the base, riffle.nn.mlp { width = 32, depth = 2 }:two_timed()",
  function() nn.load(path) end)
os.remove(path)
