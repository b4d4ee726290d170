r"""The byte-pair tokenizer of llama2.c: pieces with scores, as SentencePiece trains them.

Encoding begins with the characters of the text, behind one blank (so that a word reads alike at the beginning and
within); a character that is no piece becomes its UTF-8 bytes, which are. Then, again and again, the two neighbours
whose union has the highest score become one piece, the leftmost of equals first. Decoding joins the pieces and takes
the first blank away. Ids of llama2.c: 0 <unk>, 1 <s>, 2 </s>, 3 to 258 the bytes, then the pieces. Its models are
trained on texts that begin with <s>, and none ends with </s>: where a text ends, <s> begins the next one. The mask
comes behind the last piece: no id of the trained model is given another meaning.
"""

import heapq
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dnadiff.data.tokenizer import Encoded, TextTokenizer, check_ids
from dnadiff.errors import InputError

UNK, BOS, EOS, BYTES = 0, 1, 2, 3  # ids of the specials, and of the first byte
_NAMES = {UNK: "[UNK]", BOS: "[BOS]", EOS: "[EOS]"}
_FIRST = BYTES + 256  # the first id that is a piece


class LlamaTokenizer(TextTokenizer):
    """Pieces of text, and the scores that decide which of them are joined.

    Args:
        pieces: Text of each id, the specials and bytes included.
        scores: Score of each id.

    Raises:
        InputError: There are too few pieces, none is a blank, or scores are missing.
    """

    name = "llama"

    def __init__(self, pieces: Sequence[str], scores: Sequence[float]) -> None:
        if len(pieces) < _FIRST or len(scores) != len(pieces) or " " not in pieces[_FIRST:]:
            found = f"{len(pieces)} pieces and {len(scores)} scores"
            raise InputError(
                f"tokenizer '{self.name}': found {found}; {_FIRST} or more of both, a blank among them, work"
            )
        self.pieces, self.scores = list(pieces), [float(score) for score in scores]
        self.vocab_size, self.mask_id = len(pieces) + 1, len(pieces)
        self.pad_id, self.bos_id, self.sep_id = None, BOS, BOS
        self.special_ids = (UNK, BOS, EOS, self.mask_id)
        self._ids = {piece: i for i, piece in reversed(list(enumerate(self.pieces))) if i >= _FIRST}

    def encoded(self, texts: Sequence[str]) -> list[Encoded]:
        """The pieces of some texts, without <s>; the blank before a text is none of its characters."""
        return [self._encoded(text) for text in texts]

    def decode(self, ids: np.ndarray | Sequence[int]) -> str:
        """The text of ids; bytes that are no UTF-8 become the replacement character.

        Raises:
            InputError: An id is not in the vocabulary.
        """
        array = check_ids(ids, self.vocab_size)
        text = b"".join(self._bytes(i) for i in array.tolist()).decode("utf-8", errors="replace")
        opened = text.startswith("[BOS]")
        body = text.removeprefix("[BOS]").removeprefix(" ")
        return f"[BOS]{body}" if opened else body

    def to_json(self) -> dict[str, Any]:
        """Its name, pieces and scores."""
        return {"name": self.name, "pieces": self.pieces, "scores": self.scores}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "LlamaTokenizer":
        """The tokenizer of these pieces.

        Raises:
            InputError: They are no pieces and scores.
        """
        pieces, scores = value.get("pieces"), value.get("scores")
        texts = isinstance(pieces, list) and all(type(piece) is str for piece in pieces)
        if not texts or not isinstance(scores, list) or not all(type(score) in (int, float) for score in scores):
            raise InputError(f"tokenizer '{cls.name}': a list of pieces and a list of scores would work")
        return cls(pieces, scores)

    def _encoded(self, text: str) -> Encoded:
        ids, counts = [], []
        for i, character in enumerate(f" {text}" if text else ""):
            known = self._ids.get(character)
            own = [BYTES + byte for byte in character.encode()] if known is None else [known]
            ids += own
            counts += [int(i > 0), *[0] * (len(own) - 1)]
        joined, firsts = self._joined(ids)
        characters = np.add.reduceat(counts, firsts) if firsts else []
        return Encoded(np.array(joined, dtype=np.int64), np.array(characters, dtype=np.int64))

    def _joined(self, ids: list[int]) -> tuple[list[int], list[int]]:
        """The ids after every union and the first of the old ones in each, by a queue of the unions that are possible.

        Args:
            ids: Of characters and bytes.
        """
        left, right = list(range(-1, len(ids) - 1)), list(range(1, len(ids) + 1))
        now: list[int | None] = list(ids)
        queue: list[tuple[float, int, int, int, int]] = []

        def offer(i: int, j: int) -> None:
            if i < 0 or j >= len(now):
                return
            a, b = now[i], now[j]
            union = self._ids.get(self.pieces[a] + self.pieces[b])
            if union is not None:
                heapq.heappush(queue, (-self.scores[union], i, j, a, b))

        for i in range(len(ids) - 1):
            offer(i, i + 1)
        while queue:
            _, i, j, a, b = heapq.heappop(queue)
            if now[i] != a or j >= len(now) or now[j] != b or right[i] != j:
                continue  # one of the two has been joined with another since
            now[i], now[j], right[i] = self._ids[self.pieces[a] + self.pieces[b]], None, right[j]
            if right[j] < len(now):
                left[right[j]] = i
            offer(left[i], i)
            offer(i, right[i])
        firsts = [place for place, i in enumerate(now) if i is not None]
        return [now[place] for place in firsts], firsts

    def _bytes(self, token: int) -> bytes:
        if token == self.mask_id:
            return b"[MASK]"
        if token in _NAMES:
            return _NAMES[token].encode()
        return bytes([token - BYTES]) if token < _FIRST else self.pieces[token].encode()


def read_llama2c_tokenizer(path: str | Path, size: int) -> LlamaTokenizer:
    """The tokenizer of a ``tokenizer.bin`` of llama2.c.

    The file holds the length of the longest piece, then of each id its score (float32), its length and its text.

    Args:
        path: The file.
        size: Number of pieces, which the file does not say; the model's vocabulary.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"--tokenizer {path}: no such file; the tokenizer.bin of the model would work")
    content, place, pieces, scores = path.read_bytes(), 4, [], []
    try:
        for _ in range(size):
            score, length = struct.unpack_from("<fi", content, place)
            place += 8 + length
            if length < 0 or place > len(content):
                raise ValueError("it ends too soon")
            pieces.append(content[place - length : place].decode("utf-8"))
            scores.append(score)
        if place != len(content):
            raise ValueError(f"{len(content) - place} bytes follow the last")
    except (struct.error, ValueError) as error:
        raise InputError(
            f"{path}: holds no {size} pieces of text ({error}); the model's tokenizer.bin works"
        ) from error
    return LlamaTokenizer(pieces, scores)
