"""Checkpoints as MDLM and BD3-LM write them, made from the recorded weights of tests/parity."""

import functools
import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import torch

PARITY = Path(__file__).parent / "parity"
HEADS = {"mdlm": 2, "ar": 2, "bd3lm": 4}
IDS = {"vocab_size": 12, "mask_token_id": 3, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 4}
SHIFT = 0.01  # what the averaged weights made here differ by from the raw ones


@functools.cache
def arrays(name):
    with np.load(PARITY / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def weights(name):
    """The recorded weights by the network's own names, in its order."""
    return {key[2:]: value for key, value in arrays(name).items() if key.startswith("w.")}


def mdlm_config(name="mdlm", **changes):
    """MDLM's configuration, with the interpolations that Hydra leaves in it."""
    causal = name == "ar"
    config = {
        "mode": "train",
        "diffusion": "absorbing_state",
        "backbone": "ar" if causal else "dit",
        "parameterization": "ar" if causal else "subs",
        "time_conditioning": False,
        "T": 0,
        "loader": {"global_batch_size": 512, "eval_global_batch_size": "${.global_batch_size}"},
        "model": {"name": "tiny", "type": "ddit", "hidden_size": 64, "cond_dim": 128, "length": 32, "n_blocks": 2,
                  "n_heads": HEADS[name], "scale_by_sigma": True, "dropout": 0.1, "tie_word_embeddings": False},
        "noise": {"type": "loglinear", "sigma_min": 0.0001, "sigma_max": 20},
        "wandb": None,
    }  # fmt: skip
    for key, value in changes.items():
        section, _, leaf = key.rpartition("__")
        (config[section] if section else config)[leaf] = value
    return config


def state_dict(name="mdlm", prefix="backbone."):
    """What Lightning stores: the weights behind a prefix, and a buffer among them."""
    stored = {prefix + key: value for key, value in weights(name).items()}
    stored[prefix + "rotary_emb.inv_freq"] = torch.ones(16)
    return stored


def lightning(path, name="mdlm", *, config=None, tokenizer=IDS, prefix="backbone.", **changes):
    """Writes a Lightning checkpoint of MDLM's layout; ``changes`` replace its top-level entries."""
    shadow = [value + SHIFT for value in weights(name).values()]
    root = {
        "epoch": 1,
        "global_step": 1000,
        "pytorch-lightning_version": "2.2.1",
        "state_dict": state_dict(name, prefix),
        "loops": {"fit_loop": {"state_dict": {}}},
        "optimizer_states": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"config": config or mdlm_config(name), "tokenizer": tokenizer},
        "ema": {"decay": 0.9999, "num_updates": 1000, "shadow_params": shadow},
        "sampler": {"random_state": torch.zeros(8, dtype=torch.uint8)},
    }
    torch.save({**root, **changes}, path)
    return path


def bd3lm_as_pickled(path):
    """A BD3-LM checkpoint whose description is the one upstream wrote.

    OmegaConf's containers and a fast tokenizer of the transformers library are in it. The numbers are the recorded raw
    weights, shifted ones as the average, and none for the optimiser: whoever reads its tensors fails.
    """
    recorded = {"sampling_eps_min": torch.tensor(0.45), "sampling_eps_max": torch.tensor(0.95)}
    for key, value in weights("bd3lm").items():
        recorded[key] = value
        if key == "sigma_map.mlp.2.bias":
            recorded["rotary_emb.inv_freq"] = torch.ones(8)
    numbers = {str(i): value for i, value in enumerate(recorded.values())}
    numbers |= {str(163 + i): value + SHIFT for i, value in enumerate(weights("bd3lm").values())}
    return archive(path, gzip.decompress((PARITY / "bd3lm.pkl.gz").read_bytes()), numbers)


def archive(path, description, numbers=None, compression=zipfile.ZIP_STORED):
    """Writes the kind of zip file that torch.save writes, from a pickle and the tensors' numbers."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", description)
        file.writestr("archive/byteorder", "little")
        for key, value in (numbers or {}).items():
            file.writestr(f"archive/data/{key}", value.numpy().tobytes())
        file.writestr("archive/version", "3\n")
    return path


def description_of(path):
    """The pickle inside a file that torch.save wrote."""
    with zipfile.ZipFile(path) as file:
        return file.read(next(name for name in file.namelist() if name.endswith("/data.pkl")))


def saved(value):
    """The bytes torch.save writes for a value."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
