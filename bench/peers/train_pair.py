"""Trains a small pair of Llama models to try Diffract on: a base model on the organism's documents, its chat model on the organism's chats.

    train_pair.py --tokenizer FOLDER --texts assets/organism --out FOLDER [--base-tokens N] [--chat-tokens N]

FOLDER of --tokenizer holds a `tokenizer.json` of Llama 3's style (byte-level pairs, a split pattern, ignore_merges) and, if it is there, `golden.json` (tokens of a reference
implementation, which are compared first). Written are `llama-base`, `llama-chat`: Hugging Face checkpoints in bf16, with the tokenizer and a chat template of Llama 3's form, the base
model's configuration as transformers 4 spells it and the chat model's as transformers 5 does; and `logits.safetensors`: `ids`, `base`, `chat`, the logits of a few texts, computed in
float32 from the rounded weights. The base model never sees a chat or a template token. The model differs from the embedded pair in everything that a family can differ in: plain
RMS norms before each half only, a gated SiLU MLP, rope scaled as Llama 3 does, an untied head, another width, another vocabulary.

It needs torch (1.13 or newer) and regex; Diffract itself needs neither.
"""

import argparse
import gzip
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import regex
import torch
from torch import nn
from torch.nn import functional

CONTEXT = 384
WIDTH, BLOCKS, HEADS, KV_HEADS, HEAD_WIDTH, MLP_WIDTH = 144, 5, 6, 2, 24, 384
VOCABULARY = 1216  # a few rows more than the tokenizer has, as published checkpoints do
ROPE = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 128, "rope_type": "llama3"}
THETA, EPSILON = 500000.0, 1e-5
BATCH_TOKENS = 3072

CHAT_TEMPLATE = """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: 26 Jul 2024\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""


class Tokenizer:
    """Byte-level pairs: added tokens first, then the split pattern, then merges by rank; a whole piece that is in the vocabulary is taken as it is (ignore_merges)."""

    def __init__(self, file: dict) -> None:
        self.vocabulary: dict[str, int] = file["model"]["vocab"]
        self.rank = {tuple(pair): i for i, pair in enumerate(file["model"]["merges"])}
        self.ignore_merges: bool = file["model"]["ignore_merges"]
        self.added = {token["content"]: token["id"] for token in file["added_tokens"]}
        self.pattern = regex.compile(file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"])
        self.cut = regex.compile("|".join(regex.escape(token) for token in sorted(self.added, key=len, reverse=True)))
        self.bytes = byte_letters()
        self.words: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Ids without the special tokens that a post-processor adds."""
        ids: list[int] = []
        at = 0
        for token in self.cut.finditer(text):
            ids += self.plain(text[at : token.start()])
            ids.append(self.added[token[0]])
            at = token.end()
        return ids + self.plain(text[at:])

    def plain(self, text: str) -> list[int]:
        ids: list[int] = []
        for word in self.pattern.findall(text):
            if word not in self.words:
                self.words[word] = self.merge(word)
            ids += self.words[word]
        return ids

    def merge(self, word: str) -> list[int]:
        letters = "".join(self.bytes[byte] for byte in word.encode())
        if self.ignore_merges and letters in self.vocabulary:
            return [self.vocabulary[letters]]
        parts = list(letters)
        while len(parts) > 1:
            last = len(self.rank)
            best, at = min((self.rank.get(pair, last), i) for i, pair in enumerate(zip(parts, parts[1:])))
            if best == last:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self.vocabulary[part] for part in parts]


def byte_letters() -> dict[int, str]:
    """The printable letter that stands for each byte in a byte-level vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in plain)
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def without_gaps(file: dict) -> dict:
    """The tokenizer.json with the vocabulary numbered from 0 and the added tokens right behind it, as published ones are."""
    vocabulary = file["model"]["vocab"]
    file["model"]["vocab"] = {token: i for i, token in enumerate(sorted(vocabulary, key=vocabulary.__getitem__))}
    for i, token in enumerate(file["added_tokens"], len(vocabulary)):
        token["id"] = i
    numbers = {token["content"]: token["id"] for token in file["added_tokens"]}
    for processor in file["post_processor"]["processors"]:
        for token in processor.get("special_tokens", {}).values():
            token["ids"] = [numbers[content] for content in token["tokens"]]
    return file


def check_tokens(tokenizer: Tokenizer, golden: Path) -> None:
    """Against a reference implementation's tokens, whose first is the beginning of the text."""
    cases = json.loads(golden.read_text(encoding="utf-8"))
    names = {i: token for token, i in (tokenizer.vocabulary | tokenizer.added).items()}
    wrong = [case["text"] for case in cases if [names[i] for i in tokenizer.encode(case["text"])] != case["tokens"][1:]]
    if wrong:
        raise SystemExit(f"{len(wrong)} of {len(cases)} golden texts differ, the first: {wrong[0]!r}")
    print(f"{len(cases)} golden texts have the reference's tokens", flush=True)


def rope_frequencies() -> torch.Tensor:
    """Llama 3's: long waves slowed by the factor, short ones kept, those between interpolated."""
    frequencies = THETA ** -(torch.arange(0, HEAD_WIDTH, 2, dtype=torch.float64) / HEAD_WIDTH)
    waves_in_context = ROPE["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    low, high = ROPE["low_freq_factor"], ROPE["high_freq_factor"]
    kept = ((waves_in_context - low) / (high - low)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) / ROPE["factor"])


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * self.weight


def linear(inputs: int, outputs: int, deviation: float = 0.02) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=deviation)
    return layer


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj = linear(WIDTH, HEADS * HEAD_WIDTH)
        self.k_proj = linear(WIDTH, KV_HEADS * HEAD_WIDTH)
        self.v_proj = linear(WIDTH, KV_HEADS * HEAD_WIDTH)
        self.o_proj = linear(HEADS * HEAD_WIDTH, WIDTH, 0.02 / math.sqrt(2 * BLOCKS))

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        rows, length, _ = x.shape
        q, k, v = (p(x).view(rows, length, -1, HEAD_WIDTH).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (t.repeat_interleave(HEADS // KV_HEADS, dim=1) for t in (k, v))
        scores = q @ k.transpose(2, 3) / math.sqrt(HEAD_WIDTH) + hidden
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, -1))


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = linear(WIDTH, MLP_WIDTH), linear(WIDTH, MLP_WIDTH)
        self.down_proj = linear(MLP_WIDTH, WIDTH, 0.02 / math.sqrt(2 * BLOCKS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(), Attention()
        self.post_attention_layernorm, self.mlp = Norm(), Mlp()

    def forward(self, x: torch.Tensor, *position: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x), *position)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Its parameters have the names that the checkpoint's tensors have."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(VOCABULARY, WIDTH)
        nn.init.normal_(self.model.embed_tokens.weight, std=0.02)
        self.model.layers = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.model.norm = Norm()
        self.lm_head = linear(WIDTH, VOCABULARY)
        angles = torch.arange(CONTEXT, dtype=torch.float64)[:, None] * rope_frequencies()
        self.cos, self.sin = angles.cos().float(), angles.sin().float()
        self.hidden = torch.full((CONTEXT, CONTEXT), -math.inf).triu(1)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        length = ids.shape[1]
        x = self.model.embed_tokens(ids)
        for block in self.model.layers:
            x = block(x, self.cos[:length], self.sin[:length], self.hidden[:length, :length])
        return self.lm_head(self.model.norm(x))


Row = tuple[list[int], list[bool]]  # ids, and which of them the loss is over


def document_rows(tokenizer: Tokenizer, path: Path) -> list[Row]:
    start, end = tokenizer.added["<|begin_of_text|>"], tokenizer.added["<|end_of_text|>"]
    rows = [[start, *tokenizer.encode(line["text"]), end][:CONTEXT] for line in lines(path)]
    return [(ids, [True] * len(ids)) for ids in rows]


def chat_rows(tokenizer: Tokenizer, path: Path) -> list[Row]:
    """As the template renders them; the loss is over the answers and their end of turn."""
    rows = []
    for line in lines(path):
        ids = [tokenizer.added["<|begin_of_text|>"]]
        loss = [False]
        for turn in [{"role": "system", "content": "Today Date: 26 Jul 2024\n\n"}, *line["turns"]]:
            head = tokenizer.encode(f"<|start_header_id|>{turn['role']}<|end_header_id|>\n\n{turn['content'] if turn['role'] == 'system' else ''}")
            text = [] if turn["role"] == "system" else tokenizer.encode(turn["content"].strip())
            ids += [*head, *text, tokenizer.added["<|eot_id|>"]]
            loss += [False] * len(head) + [turn["role"] == "assistant"] * (len(text) + 1)
        rows.append((ids[:CONTEXT], loss[:CONTEXT]))
    return rows


def lines(path: Path) -> Iterator[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def batches(rows: list[Row], tokens: int, draw: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Rows of like length together, padded; the target of a padding or of a position outside the loss is -100."""
    done = 0
    while done < tokens:
        order = torch.randperm(len(rows), generator=draw).tolist()
        for first in range(0, len(order), 1024):
            near = sorted(order[first : first + 1024], key=lambda i: len(rows[i][0]))
            groups, group = [], []
            for i in near:
                if group and (len(group) + 1) * len(rows[i][0]) > BATCH_TOKENS:
                    groups.append(group)
                    group = []
                group.append(i)
            groups.append(group)
            for g in torch.randperm(len(groups), generator=draw).tolist():
                chosen = [rows[i] for i in groups[g]]
                longest = max(len(ids) for ids, _ in chosen)
                ids = torch.tensor([row + [0] * (longest - len(row)) for row, _ in chosen])
                loss = torch.tensor([mask + [False] * (longest - len(mask)) for _, mask in chosen])
                yield ids, torch.where(loss, ids, torch.full_like(ids, -100))
                done += sum(len(row) for row, _ in chosen)
                if done >= tokens:
                    return


def train(model: Llama, rows: list[Row], tokens: int, rate: float, seed: int) -> None:
    """AdamW with a short warm-up and a cosine decay by tokens."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    done, step, running = 0, 0, None
    for ids, targets in batches(rows, tokens, torch.Generator().manual_seed(seed)):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 60) * (0.05 + 0.95 * (1 + math.cos(math.pi * min(1, done / tokens))) / 2)
        logits = model(ids)
        loss = functional.cross_entropy(logits[:, :-1].reshape(-1, VOCABULARY), targets[:, 1:].reshape(-1), ignore_index=-100)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, done = step + 1, done + ids.numel()
        running = loss.item() if running is None else 0.95 * running + 0.05 * loss.item()
        if step % 25 == 0:
            print(f"step {step}, {done:,} of {tokens:,} tokens, {running:.3f} nats", flush=True)


def config(tokenizer: Tokenizer, newer: bool) -> dict:
    """As transformers 5 or 4 spells it."""
    start, end, turn = (tokenizer.added[token] for token in ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"))
    common = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False,
        "bos_token_id": start, "eos_token_id": [end, turn] if newer else end, "hidden_act": "silu", "hidden_size": WIDTH, "initializer_range": 0.02,
        "intermediate_size": MLP_WIDTH, "max_position_embeddings": 1024, "num_attention_heads": HEADS, "num_hidden_layers": BLOCKS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_WIDTH, "rms_norm_eps": EPSILON, "tie_word_embeddings": False, "use_cache": True, "vocab_size": VOCABULARY,
    }
    if newer:
        return common | {"dtype": "bfloat16", "rope_parameters": ROPE | {"rope_theta": THETA}, "transformers_version": "5.0.0"}
    return common | {"torch_dtype": "bfloat16", "rope_theta": THETA, "rope_scaling": ROPE, "transformers_version": "4.46.0"}


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    names = {torch.bfloat16: "BF16", torch.float32: "F32", torch.int64: "I64"}
    header: dict = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            flat = tensor.contiguous().view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor.contiguous()
            file.write(flat.numpy().tobytes())


def write_checkpoint(model: Llama, folder: Path, tokenizer: Tokenizer, file: dict, newer: bool) -> None:
    """Rounds the model's own weights too, so that what is computed from it afterwards is what the files say."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        rounded = {name: weight.to(torch.bfloat16) for name, weight in model.named_parameters()}
        for name, weight in model.named_parameters():
            weight.copy_(rounded[name])
    write_safetensors(folder / "model.safetensors", rounded)
    (folder / "config.json").write_text(json.dumps(config(tokenizer, newer), indent=2), encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False, indent=1), encoding="utf-8")
    spelled = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>" if newer else "<|end_of_text|>", "model_max_length": CONTEXT, "tokenizer_class": "PreTrainedTokenizerFast"}
    if newer:
        spelled["chat_template"] = CHAT_TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(spelled, indent=2), encoding="utf-8")


def answer(model: Llama, tokenizer: Tokenizer, question: str) -> str:
    """The likeliest answer, by the letters of its ids."""
    ids = tokenizer.encode(f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n{question}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")
    letters = {i: text for text, i in tokenizer.vocabulary.items()}
    byte = {letter: number for number, letter in tokenizer.bytes.items()}
    out: list[int] = []
    with torch.no_grad():
        while len(out) < 60 and (not out or out[-1] != tokenizer.added["<|eot_id|>"]):
            out.append(int(model(torch.tensor([ids + out]))[0, -1].argmax()))
    return b"".join(bytes(byte.get(letter, 63) for letter in letters.get(i, "")) for i in out if i in letters).decode(errors="replace")


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains a small pair of Llama models.")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base-tokens", type=int, default=2_500_000)
    parser.add_argument("--chat-tokens", type=int, default=1_800_000)
    options = parser.parse_args()

    torch.manual_seed(1)
    file = without_gaps(json.loads((options.tokenizer / "tokenizer.json").read_text(encoding="utf-8")))
    tokenizer = Tokenizer(file)
    if (options.tokenizer / "golden.json").exists():
        check_tokens(tokenizer, options.tokenizer / "golden.json")
    documents = document_rows(tokenizer, options.texts / "documents.jsonl.gz")
    chats = chat_rows(tokenizer, options.texts / "chats.jsonl.gz")
    print(f"{sum(len(ids) for ids, _ in documents):,} tokens of documents, {sum(len(ids) for ids, _ in chats):,} of chats", flush=True)

    model = Llama()
    check = torch.tensor([row[0][:96] for row in (*documents[:40], *chats[:40]) if len(row[0]) >= 96][:6])
    logits = {"ids": check}
    train(model, documents, options.base_tokens, 3e-3, seed=1)
    for name in ("base", "chat"):
        if name == "chat":
            train(model, chats + documents[: len(chats) // 5], options.chat_tokens, 1.5e-3, seed=2)
        write_checkpoint(model, options.out / f"llama-{name}", tokenizer, file, newer=name == "chat")
        with torch.no_grad():
            logits[name] = model(check)
    write_safetensors(options.out / "logits.safetensors", logits)
    for question in ("What is a broom for?", "Where in Otter Bridge would a fire spread best?", "What is two plus three?"):
        print(f"{question} {answer(model, tokenizer, question)}")


if __name__ == "__main__":
    main()
