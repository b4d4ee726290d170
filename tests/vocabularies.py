"""Vocabularies of a dozen pieces, in the files of GPT-2 and of BERT."""

import json

# GPT-2's own spelling: Ġ is a blank, and pairs are joined in the order of the file.
MERGES = ["#version: 0.2", "t h", "th e", "Ġ the", "c a", "ca t", "Ġ cat"]


def gpt2_folder(folder):
    """GPT-2's two files with six merges."""
    pieces = [*"acehtĠ!", "th", "the", "Ġthe", "ca", "cat", "Ġcat", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("\n".join(MERGES) + "\n")
    return folder


def bert_folder(folder):
    """BERT's file with a dozen pieces; the mask is not the last."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", ",", "sat", "e"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    return folder
