"""Genomes in, arrays of token ids out.

``fasta`` reads and writes text, ``genome`` keeps a checked binary copy of it, ``intervals`` and ``splits`` say which
parts are for training and which are held out, ``windows`` cuts training samples and ``tokenizers`` numbers the bases.
Nothing here imports torch.
"""
