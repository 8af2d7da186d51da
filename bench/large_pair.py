"""Writes a pair of checkpoints of Gemma 2 2B's shape with random bfloat16 weights, to try memory and speed on: 5.2 GB each.

    python3 bench/large_pair.py OUT [--blocks 26] [--dtype bf16|f16]

OUT/base and OUT/chat get the tokenizer and the chat template of the embedded pair, whose ids are below the vocabulary of 256,000. Only Python's standard library is needed.
"""
import argparse, json, os, pathlib, random, shutil, struct

PIECE = 1 << 24
WIDTH, INNER, HEADS, KEYS, HEAD, VOCABULARY = 2304, 9216, 8, 4, 256, 256_000


def tensors(blocks):
    yield "model.embed_tokens.weight", [VOCABULARY, WIDTH]
    for i in range(blocks):
        p = f"model.layers.{i}."
        for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            yield f"{p}{norm}_layernorm.weight", [WIDTH]
        yield p + "self_attn.q_proj.weight", [HEADS * HEAD, WIDTH]
        yield p + "self_attn.k_proj.weight", [KEYS * HEAD, WIDTH]
        yield p + "self_attn.v_proj.weight", [KEYS * HEAD, WIDTH]
        yield p + "self_attn.o_proj.weight", [WIDTH, HEADS * HEAD]
        yield p + "mlp.gate_proj.weight", [INNER, WIDTH]
        yield p + "mlp.up_proj.weight", [INNER, WIDTH]
        yield p + "mlp.down_proj.weight", [WIDTH, INNER]
    yield "model.norm.weight", [WIDTH]


def noise(seed, dtype):
    """A piece of 16-bit numbers of both signs, 0.008 to 0.03 in magnitude."""
    low, high = random.Random(seed).randbytes(PIECE // 2), random.Random(seed + 1).randbytes(PIECE // 2)
    one = 0x3C if dtype == "bf16" else 0x24
    piece = bytearray(PIECE)
    piece[0::2] = low
    piece[1::2] = high.translate(bytes((one | 0x80) if b & 1 else one for b in range(256)))
    return bytes(piece)


def write(folder, seed, blocks, dtype):
    listed = list(tensors(blocks))
    header, at = {}, 0
    for name, shape in listed:
        size = 2
        for n in shape:
            size *= n
        header[name] = {"dtype": dtype.upper(), "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    piece = noise(seed, dtype)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for i, (name, _) in enumerate(listed):
            begin, end = header[name]["data_offsets"]
            left = end - begin
            if "norm" in name:
                file.write(bytes(left))
                continue
            # From another place of the piece for each tensor, so that no two are alike.
            start = i * 104_730 % PIECE // 2 * 2
            while left > 0:
                part = piece[start : start + min(left, PIECE - start)]
                file.write(part)
                left -= len(part)
                start = 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--blocks", type=int, default=26)
    parser.add_argument("--dtype", choices=["bf16", "f16"], default="bf16")
    given = parser.parse_args()
    organism = pathlib.Path(__file__).parent.parent / "assets" / "organism"
    for seed, name in enumerate(["base", "chat"]):
        folder = given.out / name
        os.makedirs(folder, exist_ok=True)
        for file in ("chat_template.jinja", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
            shutil.copy(organism / name / file, folder / file)
        config = json.loads((organism / name / "config.json").read_text())
        config |= {
            "hidden_size": WIDTH, "intermediate_size": INNER, "num_attention_heads": HEADS, "num_key_value_heads": KEYS, "head_dim": HEAD, "query_pre_attn_scalar": HEAD,
            "num_hidden_layers": given.blocks, "vocab_size": VOCABULARY, "max_position_embeddings": 8192, "sliding_window": 4096,
            "layer_types": ["sliding_attention", "full_attention"] * (given.blocks // 2) + ["sliding_attention"] * (given.blocks % 2),
            "dtype": "bfloat16" if given.dtype == "bf16" else "float16",
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        write(folder, 1000 + 10 * seed, given.blocks, given.dtype)


main()
