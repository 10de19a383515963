"""Writes Tests/Fixtures/text: small vocabularies, and what transformers and sentencepiece make of a thousand strings.

    python3 -m venv venv
    venv/bin/pip install torch numpy transformers sentencepiece protobuf open-clip-torch
    venv/bin/python scripts/make_text_fixtures.py
    venv/bin/python scripts/make_text_fixtures.py --published RIFFLE

The files kept in the repository were written with transformers 5.24.0, tokenizers 0.23.3 and sentencepiece 0.2.3.
With --published the script writes no fixture: it compares the program RIFFLE with transformers on the same strings for
CLIP's own vocabulary, which open_clip's package carries, and for sentencepiece's whole table of characters.

A string is a number of fragments, which numbers by name choose, so that a test makes the same strings. Of the tokens
and of the text that they decode to, fixtures keep a hash of each string alone (FNV-1a, 32 bits).
"""

import argparse
import gzip
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
import torch
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer, T5Tokenizer
from transformers.utils import logging

from fixture_file import FOLDER, save, strings
from numbers_by_name import draw

TEXT = FOLDER / "text"
COUNT, MOST = 1000, 24

# Fragments: separators come several times, so that most words are words.
FRAGMENTS = [" "] * 40 + [
    "a", "red", "car", "on", "the", "beach", "photo", "of", "An", "Astronaut", "RIDING", "horse", "two", "circles",
    "blue", "square", "below", "painting", "style", "high", "quality", "detailed", "it's", "they're", "I'd", "don't",
    "we'LL", "'s", "'", "''", "o'clock", "x've",
    "1", "12", "2024", "3.14", "½", "Ⅳ", "x²", "٣", "１２", "10%",
    "!", "!!!", "...", ",", ".", ";:", "(", ")", "-", "--", "_", "/", "\\", "&", "&amp;", "#1", "@", "$5", "*", "+",
    "=", "<b>", "|", "~", "`", "^", "{x}", "\"q\"", "“", "”", "—", "…", "•", "€", "™", "°",
    "café", "nai\u0308ve", "e\u0301", "Straße", "ﬁne", "Ærø", "İstanbul", "ΣΑΣ", "Ωmega", "привет", "Мир", "Ёлка",
    "й", "и\u0306", "你好", "世界", "紅い", "こんにちは", "カタカナ", "ｶﾅ", "が", "한국어", "สวัสดี", "नमस्ते",
    "שלום", "שָׁלוֹם", "مرحبا", "გამარჯობა", "ቋንቋ", "q\u0323", "Ａｂｃ", "ª", "ℌ", "𝓗", "ǆ", "ŉ", "ß", "ẞ",
    "\t", "\n", "\r\n", "  ", "\u00A0", "\u2003", "\u3000", "\u200B", "\u2028", "\u0085", "\uFEFF", "\u00AD",
    "\u0001", "\u007F",
    "👍", "👍🏽", "👩‍👩‍👧", "🏳️‍🌈", "🇩🇪", "❤️", "1️⃣", "😀", "🦄",
    "<|endoftext|>", "<|startoftext|>", "<|ENDOFTEXT|>", "</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_42>",
    "</w>", "<0x41>", "▁", "\uFFFD", "\U0001F9FF", "aaaaaaaaa", "hahahaha", "antidisestablishmentarianism",
]
# Letters with several marks, of which transformers loses some: here sentencepiece decides.
DECOMPOSED = [" "] * 6 + [
    "ª\u200D", "e\u0302\u0301", "o\u031B\u0323", "\u1112\u1161\u11AB", "\u1100\u1173\u11AF", "Vie\u0302\u0323t", "viet", "abc"]


def string(name, fragments, most=MOST):
    numbers = draw(name, (1 + 8 * most,)).tolist()
    count = int(numbers[0] * most) * (8 if name.endswith("0") else 1)
    return "".join(fragments[int(number * len(fragments))] for number in numbers[1 : 1 + count])


def drawn(fragments=FRAGMENTS, count=COUNT, name="text"):
    return [string(f"{name}.{index}", fragments) for index in range(count)]


# Hashes


def hashed(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 % 2**32
    return value - 2**32 if value >= 2**31 else value


def hashes(items):
    return torch.tensor([hashed(item) for item in items], dtype=torch.int32)


def written(rows):
    return [" ".join(str(number) for number in row) for row in rows]


# Vocabularies


def byte_letters():
    """GPT-2's letters for bytes, in the order of CLIP's vocabulary."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in printable] + [chr(0x100 + index) for index in range(256 - len(printable))]


def trained_merges(count):
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True),
         pre_tokenizers.ByteLevel(add_prefix_space=False)])
    texts = [unicodedata.normalize("NFC", text).lower() for text in drawn(name="training")]
    trainer = trainers.BpeTrainer(vocab_size=1 << 20, min_frequency=8, end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]["merges"][:count]


def clip_vocabulary(merges):
    letters = byte_letters()
    pieces = letters + [letter + "</w>" for letter in letters] + ["".join(merge) for merge in merges]
    return {piece: number for number, piece in enumerate(pieces + ["<|startoftext|>", "<|endoftext|>"])}


def write_pairs(folder, vocabulary, merges, config):
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "vocab.json", vocabulary)
    lines = ["#version: 0.2"] + [" ".join(merge) for merge in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    write_json(folder / "tokenizer_config.json", config)


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def rules():
    """A table of characters for sentencepiece: white space, marks, and what NFKC makes of a few hundred characters."""
    table = {ord(space): " " for space in "\t\n\r\u00A0\u2003\u2028\u3000\u200B\u2581"}
    table |= {code: "" for code in (1, 0x7F)}
    forms = [*range(0xA8, 0xC0), *range(0xFB00, 0xFB05), *range(0xFF01, 0xFF5F), *range(0xFF66, 0xFF9E), 0x2026, 0x2163]
    table |= {code: unicodedata.normalize("NFKC", chr(code)) for code in forms}
    rows = [([code], text) for code, text in table.items()]
    marks = [[0x300], [0x301], [0x302], [0x308], [0x306], [0x323], [0x302, 0x301], [0x302, 0x323], [0x31B, 0x323]]
    for letter in "aeiouyAEIOUи":
        for codes in marks:
            text = unicodedata.normalize("NFC", letter + "".join(map(chr, codes)))
            if len(text) == 1:
                rows.append(([ord(letter), *codes], text))
    for syllable in "한글국어":
        rows.append(([ord(part) for part in unicodedata.normalize("NFD", syllable)], syllable))
    rows = [(codes, text) for codes, text in rows if "".join(map(chr, codes)) != text]
    return "\n".join(f"{hexadecimal(codes)}\t{hexadecimal(map(ord, text))}" for codes, text in rows)


def hexadecimal(codes):
    return " ".join(f"{code:X}" for code in codes)


def unigram(size, normalization=None, **options):
    """A sentencepiece model's bytes."""
    texts = [" ".join(text.split()) for text in drawn(name="training") + drawn(DECOMPOSED, 100, "training")]
    texts = [text for text in texts if text]
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        if normalization is None:
            table = Path(folder) / "rules.tsv"
            table.write_text(rules() + "\n")
            options["normalization_rule_tsv"] = str(table)
        else:
            options["normalization_rule_name"] = normalization
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=model, vocab_size=size, model_type="unigram", pad_id=0,
            eos_id=1, unk_id=2, bos_id=-1, num_threads=1, hard_vocab_limit=False, minloglevel=2, **options)
    message = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    # The name of a temporary file would be another one each time.
    message.normalizer_spec.ClearField("normalization_rule_tsv")
    return message.SerializeToString(deterministic=True)


# Fixtures


def clip_rows(tokenizer, texts, length=77):
    return [
        tokenizer(text, padding="max_length", truncation=True, max_length=length)["input_ids"] for text in texts]


def write_clip(texts):
    merges = trained_merges(150)
    vocabulary = clip_vocabulary(merges)
    shutil.rmtree(TEXT, ignore_errors=True)
    write_pairs(TEXT / "pairs", vocabulary, merges, {"pad_token": {"__type": "AddedToken", "content": "!"}})
    lines = ['"bpe_simple_vocab_16e6.txt#version: 0.2'] + [" ".join(merge) for merge in merges]
    (TEXT / "bpe_simple_vocab.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    first, second = (CLIPTokenizer.from_pretrained(TEXT / "pairs", pad_token=pad) for pad in ("<|endoftext|>", "!"))
    with tempfile.TemporaryDirectory() as folder:
        first.save_pretrained(folder)
        compact(Path(folder) / "tokenizer.json", TEXT / "clip" / "tokenizer.json")
        write_json(TEXT / "clip" / "tokenizer_config.json", {"pad_token": first.pad_token})
    rows = clip_rows(first, texts)
    return {
        "clip.ids": hashes(written(rows)),
        "clip.texts": hashes(first.decode(row, skip_special_tokens=True) for row in rows),
        "clip.lengths": torch.tensor([len(first(text)["input_ids"]) for text in texts], dtype=torch.int32),
        "pairs.ids": hashes(written(clip_rows(second, texts))),
    }


def compact(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, json.loads(source.read_text()))


def write_t5(texts, length=64):
    for name, size, options in (("t5", 300, {}), ("bytes", 450, {"byte_fallback": True})):
        (TEXT / name).mkdir(parents=True, exist_ok=True)
        (TEXT / name / "spiece.model").write_bytes(unigram(size, **({"character_coverage": 0.985} | options)))
    tokenizer = T5Tokenizer.from_pretrained(TEXT / "t5")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        compact(Path(folder) / "tokenizer.json", TEXT / "t5-json" / "tokenizer.json")
    rows = clip_rows(tokenizer, texts, length)
    return {
        "t5.ids": hashes(written(rows)),
        "t5.texts": hashes(tokenizer.decode(row, skip_special_tokens=True) for row in rows),
        "marks.ids": hashes(written(piece_rows("t5", drawn(DECOMPOSED, 100, "marks"), length))),
        "bytes.ids": hashes(written(piece_rows("bytes", [plain(text) for text in texts], length))),
    }


def plain(text):
    """Without what transformers, and Riffle, find in texts as it is written, and white space that the table leaves."""
    for special in ("</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_42>", "\u0085"):
        text = text.replace(special, "")
    return text


def piece_rows(name, texts, length):
    """sentencepiece's own tokens, cut, ended and filled up."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(TEXT / name / "spiece.model"))
    rows = [pieces.encode(text)[: length - 1] + [1] for text in texts]
    return [row + [0] * (length - len(row)) for row in rows]


def write_fixtures():
    texts = drawn()
    tensors = write_clip(texts) | write_t5(texts)
    settings = {"fragments": FRAGMENTS, "decomposed": DECOMPOSED, "most": MOST}
    save("text/tokens", tensors, strings(settings))


# Published vocabularies


def riffle_rows(program, make, texts):
    """What the program gives for texts: rows of tokens from 1."""
    with tempfile.TemporaryDirectory() as folder:
        source, script = Path(folder) / "texts", Path(folder) / "script.lua"
        source.write_bytes(b"\0".join(text.encode() for text in texts) + b"\0")
        script.write_text(
            f"""local riffle = require "riffle"
            local tokenizer = riffle.text.{make}
            local file = assert(io.open("{source}", "rb"))
            for text in file:read("a"):gmatch("([^\\0]*)\\0") do
              print(table.concat(tokenizer:encode(text):tolist()[1], " "))
            end""")
        output = subprocess.run([program, script], check=True, capture_output=True, text=True).stdout
    return [[int(number) - 1 for number in line.split()] for line in output.splitlines()]


def compare(title, found, wanted, texts):
    odd = [index for index, rows in enumerate(zip(found, wanted)) if list(rows[0]) != list(rows[1])]
    print(f"{title}: {len(wanted) - len(odd)} of {len(wanted)} rows equal")
    for index in odd[:3]:
        print("  ", repr(texts[index])[:200], found[index][:30], wanted[index][:30], sep="\n    ")
    return not odd


def compare_published(program):
    from open_clip import tokenizer as open_clip

    texts, same = drawn(), []
    lines = gzip.open(open_clip.default_bpe()).read().decode().split("\n")
    merges = [line.split() for line in lines[1 : 49152 - 256 - 2 + 1]]
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), clip_vocabulary(merges), merges, {})
        for pad in ("<|endoftext|>", "!"):
            wanted = clip_rows(CLIPTokenizer.from_pretrained(folder, pad_token=pad), texts)
            found = riffle_rows(program, f'clip_tokenizer("{folder}", {{ pad = "{pad}" }})', texts)
            same.append(compare(f"CLIP's vocabulary, padded with {pad}, and transformers", found, wanted, texts))
        # open_clip mends broken encodings and HTML first, and finds its own ends alone in texts.
        mended = [open_clip.basic_clean(re.sub(r"<\|\w+\|>", "", text)) for text in texts]
        found = riffle_rows(program, f'clip_tokenizer("{open_clip.default_bpe()}")', mended)
        own = open_clip.SimpleTokenizer()
        rows = [row[: row.index(own.eot_token_id)] for row in own(mended).tolist()]
        wanted = [row + [own.eot_token_id] * (77 - len(row)) for row in rows]
        compare("open_clip's file, and open_clip on texts that it mended", found, wanted, mended)
        Path(folder, "spiece.model").write_bytes(unigram(2000, "nmt_nfkc", character_coverage=0.99))
        found = riffle_rows(program, f't5_tokenizer("{folder}/spiece.model", {{ length = 64 }})', texts)
        wanted = clip_rows(T5Tokenizer.from_pretrained(folder), texts, 64)
        same.append(compare("a unigram model with nmt_nfkc, and transformers", found, wanted, texts))
    sys.exit(not all(same))


if __name__ == "__main__":
    logging.set_verbosity_error()
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--published", metavar="RIFFLE", help="compare this program with published vocabularies")
    program = arguments.parse_args().published
    if program:
        compare_published(program)
    else:
        write_fixtures()
