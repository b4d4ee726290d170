"""Caduceus as it was published, written out: names, doubled channels, a step at a time. Float64 and slow.

The layout of the weights is that of the folders of kuleshov-group on the Hugging Face hub; what is computed follows
Schiff et al. 2024, sections 3 and 4, and Gu and Dao 2023, algorithm 2.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

WIDTH, LAYERS, ROWS = 20, 2, 16  # the vocabulary of 12 is padded to a multiple of 8
COMPLEMENT = [0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11, 12, 13, 14, 15]
CONFIG = {
    "architectures": ["CaduceusForMaskedLM"], "bidirectional": True, "bidirectional_strategy": "add",
    "bidirectional_weight_tie": True, "complement_map": {str(i): other for i, other in enumerate(COMPLEMENT)},
    "d_model": WIDTH, "fused_add_norm": True, "model_type": "caduceus", "n_layer": LAYERS, "norm_epsilon": 1e-05,
    "pad_vocab_size_multiple": 8, "rcps": True, "residual_in_fp32": False, "rms_norm": True,
    "initializer_cfg": {"initializer_range": 0.02, "n_residuals_per_layer": 1, "rescale_prenorm_residual": True},
    "ssm_cfg": {
        "bias": False, "conv_bias": True, "d_conv": 4, "d_state": 16, "dt_init": "random", "dt_init_floor": 0.0001,
        "dt_max": 0.1, "dt_min": 0.001, "dt_rank": "auto", "dt_scale": 1.0, "expand": 2, "use_fast_path": True,
    },
    "torch_dtype": "float32", "transformers_version": "4.38.1", "vocab_size": 16,
}  # fmt: skip


def published_weights(rcps: bool, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights by their published names, without those that are shared; sizes at which nothing is negligible."""
    generator = torch.Generator().manual_seed(seed)
    inner, rank = 2 * WIDTH, math.ceil(WIDTH / 16)
    word, mixer = ("word_embeddings.embedding", "mixer.submodule") if rcps else ("word_embeddings", "mixer")
    shapes = {f"caduceus.backbone.embeddings.{word}.weight": (ROWS, WIDTH), "caduceus.backbone.norm_f.weight": (WIDTH,)}
    for n in range(LAYERS):
        layer = f"caduceus.backbone.layers.{n}"
        shapes[f"{layer}.norm.weight"] = (WIDTH,)
        shapes[f"{layer}.{mixer}.mamba_fwd.in_proj.weight"] = (2 * inner, WIDTH)
        shapes[f"{layer}.{mixer}.mamba_fwd.out_proj.weight"] = (WIDTH, inner)
        own = {
            "A_log": (inner, 16), "D": (inner,), "conv1d.weight": (inner, 1, 4), "conv1d.bias": (inner,),
            "x_proj.weight": (rank + 32, inner), "dt_proj.weight": (inner, rank), "dt_proj.bias": (inner,),
        }  # fmt: skip
        for direction in ("mamba_fwd", "mamba_rev"):
            shapes |= {f"{layer}.{mixer}.{direction}.{name}": shape for name, shape in own.items()}
    weights = {name: torch.randn(shape, generator=generator) * 0.4 for name, shape in shapes.items()}
    if rcps:
        for name in ("caduceus.backbone.embeddings.word_embeddings", "lm_head"):
            weights[f"{name}.complement_map"] = torch.tensor(COMPLEMENT)
    return weights


def write_folder(folder: Path, weights: dict[str, torch.Tensor], **changes: object) -> Path:
    """A published folder of these weights; a change of None leaves the key out."""
    folder.mkdir(parents=True)
    config = {key: value for key, value in {**CONFIG, **changes}.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 1024}))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def published_logits(weights: dict[str, torch.Tensor], tokens: torch.Tensor, rcps: bool) -> torch.Tensor:
    """Logits (B, N, 16) of tokens (B, N), float64."""
    w = {name: value.double() for name, value in weights.items() if "complement_map" not in name}
    return torch.stack([_equivariant(w, row) if rcps else _plain(w, row) for row in tokens])


def _plain(w, tokens):
    table = w["caduceus.backbone.embeddings.word_embeddings.weight"]
    h = table[tokens]
    for n in range(LAYERS):
        layer = f"caduceus.backbone.layers.{n}"
        h = h + _both_ways(w, f"{layer}.mixer", _norm(h, w[f"{layer}.norm.weight"]))
    return _norm(h, w["caduceus.backbone.norm_f.weight"]) @ table.T


def _equivariant(w, tokens):
    """Every layer on the first half of the channels, and turned round on the second."""
    table, pairs = w["caduceus.backbone.embeddings.word_embeddings.embedding.weight"], torch.tensor(COMPLEMENT)
    h = torch.cat([table[tokens], table[pairs[tokens.flip(0)]].flip(0, 1)], dim=-1)
    for n in range(LAYERS):
        layer = f"caduceus.backbone.layers.{n}"
        normed = _on_halves(h, lambda half, gain=w[f"{layer}.norm.weight"]: _norm(half, gain))
        h = h + _on_halves(normed, lambda half, name=f"{layer}.mixer.submodule": _both_ways(w, name, half))
    h = _on_halves(h, lambda half: _norm(half, w["caduceus.backbone.norm_f.weight"]))
    return h[:, :WIDTH] @ table.T + h[:, WIDTH:].flip(1) @ table[pairs].T


def _on_halves(h, layer):
    return torch.cat([layer(h[:, :WIDTH]), layer(h[:, WIDTH:].flip(0, 1)).flip(0, 1)], dim=-1)


def _norm(h, gain):
    return h / (h.square().mean(-1, keepdim=True) + 1e-5).sqrt() * gain


def _both_ways(w, name, h):
    return _mamba(w, name, "mamba_fwd", h) + _mamba(w, name, "mamba_rev", h.flip(0)).flip(0)


def _mamba(w, name, direction, h):
    own = {key.removeprefix(f"{name}.{direction}."): value for key, value in w.items() if f"{name}.{direction}" in key}
    into, outof = w[f"{name}.mamba_fwd.in_proj.weight"], w[f"{name}.mamba_fwd.out_proj.weight"]
    x, z = (h @ into.T).chunk(2, dim=-1)
    before = torch.cat([torch.zeros_like(x[:3]), x])
    x = F.silu(sum(before[j : j + len(x)] * own["conv1d.weight"][:, 0, j] for j in range(4)) + own["conv1d.bias"])
    made = x @ own["x_proj.weight"].T
    rank = own["dt_proj.weight"].shape[1]
    step = F.softplus(made[:, :rank] @ own["dt_proj.weight"].T + own["dt_proj.bias"])
    write, read = made[:, rank : rank + 16], made[:, rank + 16 :]
    state, out = torch.zeros_like(own["A_log"]), []
    for t in range(len(x)):
        decay = torch.exp(-step[t][:, None] * own["A_log"].exp())
        state = decay * state + (step[t] * x[t])[:, None] * write[t]
        out.append(state @ read[t] + own["D"] * x[t])
    return (torch.stack(out) * F.silu(z)) @ outof.T
