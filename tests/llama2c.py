"""A file of llama2.c with random weights, its tokenizer, and what it computes, written again in NumPy."""

import struct

import numpy as np

SHAPE = {"dim": 16, "inner": 12, "layers": 2, "heads": 4, "kv_heads": 2, "size": 270, "length": 16}
PIECES = [" ", "a", "b", "c", "ab", "bc", " a", "abc", " ab", "é", "aa"]
SCORES = [0.0, 0.0, 0.0, 0.0, -1.0, -0.5, -2.0, -3.0, -4.0, 0.0, -1.0]


def arrays(seed=0, tied=True, **changes):
    """Random weights by llama2.c's names, in the order of its file."""
    of = {**SHAPE, **changes}
    dim, inner, layers, size = of["dim"], of["inner"], of["layers"], of["size"]
    head = dim // of["heads"]
    narrow, rng = head * of["kv_heads"], np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(0, 0.4, shape).astype("<f4")

    return {
        "tok": normal(size, dim), "att": 1 + normal(layers, dim), "wq": normal(layers, dim, dim),
        "wk": normal(layers, narrow, dim), "wv": normal(layers, narrow, dim), "wo": normal(layers, dim, dim),
        "ffn": 1 + normal(layers, dim), "w1": normal(layers, inner, dim), "w2": normal(layers, dim, inner),
        "w3": normal(layers, inner, dim), "final": 1 + normal(dim), "real": normal(of["length"], head // 2),
        "imag": normal(of["length"], head // 2), **({} if tied else {"cls": normal(size, dim)}),
    }  # fmt: skip


def write(path, weights, **changes):
    """The file of some weights."""
    of = {**SHAPE, **changes}
    size = of["size"] if "cls" not in weights else -of["size"]
    header = [of[key] for key in ("dim", "inner", "layers", "heads", "kv_heads")] + [size, of["length"]]
    path.write_bytes(struct.pack("<7i", *header) + b"".join(array.tobytes() for array in weights.values()))
    return path


def write_tokenizer(path):
    """Specials, the bytes, and a few pieces: 270 ids, as SHAPE has them."""
    pieces = ["<unk>", "\n<s>\n", "\n</s>\n", *(f"<0x{i:02X}>" for i in range(256)), *PIECES]
    scores = [0.0] * 259 + SCORES
    records = [struct.pack("<fi", s, len(p.encode())) + p.encode() for p, s in zip(pieces, scores, strict=True)]
    path.write_bytes(struct.pack("<i", 6) + b"".join(records))
    return path


def logits(weights, tokens, **changes):
    """What llama2.c computes of one row of tokens, position by position: (N, V) float64."""
    of, w = {**SHAPE, **changes}, {name: array.astype(np.float64) for name, array in weights.items()}
    heads, kv_heads, head = of["heads"], of["kv_heads"], of["dim"] // of["heads"]
    keys, values, out = [[] for _ in range(of["layers"])], [[] for _ in range(of["layers"])], []
    for place, token in enumerate(tokens):
        x = w["tok"][token].copy()
        for layer in range(of["layers"]):
            h = _norm(x, w["att"][layer])
            q = _turned((w["wq"][layer] @ h).reshape(heads, head), place)
            keys[layer].append(_turned((w["wk"][layer] @ h).reshape(kv_heads, head), place))
            values[layer].append((w["wv"][layer] @ h).reshape(kv_heads, head))
            read = []
            for number in range(heads):
                group = number // (heads // kv_heads)
                score = np.array([q[number] @ k[group] for k in keys[layer]]) / np.sqrt(head)
                share = np.exp(score - score.max()) / np.exp(score - score.max()).sum()
                read.append(sum(p * v[group] for p, v in zip(share, values[layer], strict=True)))
            x = x + w["wo"][layer] @ np.concatenate(read)
            h = _norm(x, w["ffn"][layer])
            gate = w["w1"][layer] @ h
            x = x + w["w2"][layer] @ (gate / (1 + np.exp(-gate)) * (w["w3"][layer] @ h))
        out.append(w.get("cls", w["tok"]) @ _norm(x, w["final"]))
    return np.stack(out)


def _norm(x, gain):
    return gain * x / np.sqrt((x**2).mean() + 1e-5)


def _turned(x, place):
    """Neighbours (2j, 2j + 1) of each head turned by place * 10000 ** (-2j / K)."""
    angle = place * 10_000.0 ** (-np.arange(0, x.shape[1], 2) / x.shape[1])
    even, odd = x[:, ::2], x[:, 1::2]
    turned = np.empty_like(x)
    turned[:, ::2], turned[:, 1::2] = (
        even * np.cos(angle) - odd * np.sin(angle),
        even * np.sin(angle) + odd * np.cos(angle),
    )
    return turned
