-- Texts from the front door: tokens, encoders, and a network that takes captions.
local riffle = require "riffle"
local fails = require "shared.fails"
local nn, flow, optim, text = riffle.nn, riffle.flow, riffle.optim, riffle.text

riffle.seed(5)
local words = text.bytes { length = 8 }
local captions = { "red", "a blue one", "", "two" }
local ids = words:encode(captions)
assert(ids:dtype() == "int32" and #words:decode(ids) == 4 and words:decode(ids)[1] == "red")
assert(words:cuts(captions)[2] == "a blue" and words:cuts(captions)[1] == false and words:lengths(captions)[2] == 12)
assert(tostring(words) == "byte tokenizer, 259 tokens, rows of 8, padded with a token of its own")
fails("text 1 is not UTF-8: 'a", words.encode, words, "a\xff")
fails("tokens of this byte tokenizer are from 1 to 259, got 300", words.decode, words, riffle.full({ 3 }, 300, { dtype = "int32" }))
fails("cannot read", text.t5_tokenizer, "no/such/spiece.model")
fails("'length' must be an integer from 3 to 65536", text.bytes, { length = 1 })

local function made()
  return nn.text_conditioned {
    encoder = nn.clip_text { vocabulary = words.size, width = 16, depth = 2, heads = 2, length = 8 },
    network = nn.mmdit { image = { 4, 4, 2 }, depth = 1, head_channels = 16, tokens = 16, summary = 16 },
  }
end
local net = made()
local tokens, summary = net.encoder(ids)
assert(tostring(tokens:shape()) == "[4, 8, 16]" and tostring(summary:shape()) == "[4, 16]")

-- Encoder and network learn together; a dropped text is a row of zeros.
local average, opt = optim.ema(net, { decay = 0.5 }), optim.adamw(net, { lr = 1e-2 })
local x = riffle.randn(4, 4, 4, 2)
local function same(a, b) return (a - b):abs():max():item() == 0 end
local _, before = net.encoder(ids)
for _ = 1, 3 do
  opt:step(flow.matching_loss(net, x, { labels = ids, label_dropout = 0.5 }))
  average:update()
end
assert(not same(before, select(2, net.encoder(ids))))

-- Sampled, guided, copied, made a student of, and read back from its file.
local noise = riffle.randn(4, 4, 4, 2)
local function sample(model) return flow.ode(model, noise, { method = "euler", steps = 2, labels = ids }) end
assert(same(sample(net), sample(net:copy())) and not same(sample(net), sample(average.model)))
assert(not same(sample(flow.guide(net, { scale = 4 })), sample(net)))
local empty = flow.guide(net, { scale = 4, none = words:encode("") })
assert(not same(sample(empty), sample(flow.guide(net, { scale = 4 }))))
local path = os.tmpname()
net:save(path)
assert(same(sample(nn.load(path)), sample(net)) and same(sample(made():load(path)), sample(net)))
local student = net:two_timed()
student:save(path)
assert(student:times() == 2 and same(student(noise, 0.2, 0.7, ids), net(noise, 0.2, ids)))
assert(same(nn.load(path)(noise, 0.2, 0.7, ids), student(noise, 0.2, 0.7, ids)))
os.remove(path)
flow.loss.itvm(student, net, x, { labels = ids })

-- What does not fit is said.
fails("this network needs texts as tokens, int32 [4, length]", flow.matching_loss, net, x)
fails("a row of zeros for no text, got 260 in row 2", net, x, 0.5, ids:maximum(riffle.tensor({ { 1 }, { 260 }, { 1 }, { 1 } }, "int32")))
fails("texts have at most 8 tokens, got 9", net, x, 0.5, text.bytes { length = 9 }:encode(captions))
local mmdit = nn.mmdit { image = { 4, 4, 2 }, depth = 1, head_channels = 16, tokens = 16, summary = 8 }
fails("tokens of width 16 and a summary of 16, the network takes 16 and 8", nn.text_conditioned, net.encoder, mmdit)
fails("is not conditioned on a text", nn.text_conditioned, net.encoder, nn.mlp {})
local t5 = nn.t5_encoder { vocabulary = 9, width = 16, depth = 1, heads = 2, feed_forward = 8 }
fails("gives no summary of a text", nn.text_conditioned, t5, mmdit)
