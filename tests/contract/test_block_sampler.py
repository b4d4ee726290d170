"""BlockSampler: given stay, rows are their own, cached equals uncached equals the training mask, rows end by rules."""

import itertools

import pytest
import torch
from torch.overrides import TorchFunctionMode

from dnadiff.diffusion import Ancestral, BlockSampler, FirstHitting, Truncation, block_sampler, restricted
from dnadiff.diffusion.stopping import EndToken, LowComplexity
from dnadiff.errors import InputError
from dnadiff.models.attention import BlockCausal, BlockDiffusion
from dnadiff.random import Draws
from tests.oracle import BASES, MASK, VOCAB
from tests.tiny import SPEC, tiny_denoiser

L, PAD, SEP = 18, 4, 1
DEEP = {"backbone": {**SPEC["backbone"], "n_blocks": 3}}
MAKE = {
    "1": lambda d, **kw: BlockSampler(FirstHitting(d, **kw), 1),
    "4": lambda d, **kw: BlockSampler(FirstHitting(d, **kw), 4),
    "4, 3 a step, window 8": lambda d, **kw: BlockSampler(FirstHitting(d, 3, **kw), 4, window=8),
    "5 ancestral": lambda d, **kw: BlockSampler(Ancestral(d, 4, **kw), 5, window=10),
    "18": lambda d, **kw: BlockSampler(FirstHitting(d, **kw), 18),
}


@pytest.fixture(params=MAKE)
def make(request):
    return MAKE[request.param]


def start_of(rows, length=L):
    """Rows with prompts of several lengths and given tokens inside; the fourth has nothing to do."""
    x = torch.full((rows, length), MASK)
    for i in range(rows):
        x[i, : 3 * (i % 4)] = 7 + i % 4
        x[i, 5 + i :: 6] = 8
    x[3] = 9
    return x


def test_given_stay_masks_go_and_only_bases_come(make):
    x = start_of(9)
    out = make(tiny_denoiser())(x, Draws(0, range(9)))
    assert torch.equal(out[x != MASK], x[x != MASK])
    assert torch.isin(out[x == MASK], torch.tensor(BASES)).all()
    assert torch.equal(x, start_of(9)), "the input was written to"


def test_samples_are_the_same_to_the_bit_at_batch_1_and_7(make):
    sampler = make(tiny_denoiser(time_conditioning=True))
    x, ids = start_of(7), list(range(1000, 1007))
    whole = sampler(x, Draws(5, ids))
    parts = [sampler(x[i : i + 1], Draws(5, ids[i : i + 1])) for i in range(7)]
    assert torch.equal(torch.cat(parts), whole)


def test_rows_together_agree_with_rows_alone(make):
    """Also where a row has nothing left to reveal in a block and the others do."""
    x, denoiser = start_of(9), tiny_denoiser()
    together = make(denoiser, rows_per_call=4)(x, Draws(5, range(9)))
    assert torch.equal(together, make(denoiser, rows_per_call=1)(x, Draws(5, range(9))))


def test_a_model_that_predicts_shown_tokens_too_leaves_them_alone():
    """Also in a row that has nothing left to reveal while others have."""
    denoiser = tiny_denoiser(parameterization={**SPEC["parameterization"], "carry_over": False})
    x = start_of(9)
    out = BlockSampler(FirstHitting(denoiser, rows_per_call=9), 4)(x, Draws(0, range(9)))
    assert torch.equal(out[x != MASK], x[x != MASK]) and not (out == MASK).any()


def test_shorter_samples_begin_longer_ones():
    sampler = BlockSampler(FirstHitting(tiny_denoiser()), 4, window=8)
    long = sampler(torch.full((2, 30), MASK), Draws(0, [0, 1]))
    short = sampler(torch.full((2, 18), MASK), Draws(0, [0, 1]))
    assert torch.equal(long[:, :16], short[:, :16])


@pytest.mark.parametrize(("size", "window"), [(1, None), (4, None), (5, None), (18, None), (1, 4), (4, 8), (5, 5)])
@pytest.mark.parametrize(("prefill", "labels"), [(2, True), (1024, False)])
def test_cached_is_uncached_is_the_training_mask(size, window, prefill, labels, monkeypatch):
    """Every answer the sampler got, computed again from the whole prefix, and on [x_t ; x_0] if nothing slides away."""
    monkeypatch.setattr(block_sampler, "PREFILL", prefill)
    backbone = {**DEEP["backbone"], "n_classes": 2 if labels else 0}
    denoiser = tiny_denoiser(time_conditioning=True, backbone=backbone).double()
    asked, ask = [], denoiser.forward

    def listen(xt, t, *, pattern, labels, cache, at):
        out, n = ask(xt, t, pattern=pattern, labels=labels, cache=cache, at=at), cache.length
        asked.append((n, xt, t, at, out))
        return out

    monkeypatch.setattr(denoiser, "forward", listen)
    x, kind = start_of(6)[-3:].clone(), torch.tensor([0, 1, 1]) if labels else None
    x[:, :7] = 9  # a prompt that all rows have, so that whole blocks are given
    sampler = BlockSampler(FirstHitting(denoiser, 2, rows_per_call=3), size, window=window)
    final = sampler(x, Draws(2, range(3)), labels=kind)
    slid, answers = window is not None, 0
    assert asked
    for n, xt, t, at, out in asked:
        if isinstance(at, slice):
            continue  # given blocks were stored
        answers += 1
        row = torch.cat([final[:, :n], xt], dim=1)
        time = torch.cat([torch.zeros(3, n), t], dim=1)
        with torch.no_grad():
            plain = ask(row, time, pattern=BlockCausal(size, window), labels=kind, at=n + at)
            torch.testing.assert_close(out, plain, atol=1e-9, rtol=0)
            if slid:
                continue
            start = (n + xt.shape[1] - 1) // size * size
            noisy = torch.cat([final[:, :start], row[:, start:], final[:, row.shape[1] :]], dim=1)
            time = torch.cat([time, torch.zeros(3, L - row.shape[1])], dim=1)
            both = torch.cat([noisy, final], dim=1), torch.cat([time, torch.zeros(3, L)], dim=1)
            training = ask(*both, pattern=BlockDiffusion(size), labels=kind, at=n + at)
            torch.testing.assert_close(out, training, atol=1e-9, rtol=0)
    assert answers >= L // 2 // size


def test_a_finished_block_costs_no_call_of_its_own():
    calls, denoiser = [], tiny_denoiser()
    denoiser.backbone.register_forward_hook(lambda *_: calls.append(1))
    BlockSampler(FirstHitting(denoiser), 4)(torch.full((1, L), MASK), Draws(0, [0]))
    assert len(calls) == L
    calls.clear()
    x = torch.full((1, L), MASK)
    x[0, :14] = 8
    BlockSampler(FirstHitting(denoiser), 4)(x, Draws(0, [0]))
    assert len(calls) == 4, "given blocks are stored with the first block that has something to reveal"


def test_a_token_depends_on_nothing_to_its_right():
    """Other given tokens in later blocks change no earlier one."""
    sampler = BlockSampler(FirstHitting(tiny_denoiser()), 4)
    x = start_of(4)
    other = x.clone()
    other[:, 12:] = 10
    one, two = (sampler(y, Draws(0, range(4))) for y in (x, other))
    assert torch.equal(one[:, :12], two[:, :12])


def test_pieces_are_the_sequence_in_order(make):
    sampler, x = make(tiny_denoiser(), rows_per_call=2), start_of(5)
    whole, rebuilt, seen = sampler(x, Draws(0, range(5))), torch.zeros_like(x), []
    for piece in sampler.pieces(x, Draws(0, range(5))):
        rebuilt[piece.rows, piece.start : piece.start + piece.tokens.shape[1]] = piece.tokens
        seen.append((piece.rows.start, piece.start))
        assert not piece.ended.any()
    assert torch.equal(rebuilt, whole) and seen == sorted(seen)


NO_TENSOR_IS_SO_LONG = 10**15


@pytest.mark.parametrize("prompt", [1, 6])
def test_pieces_need_no_more_than_the_window_however_long_the_rows_are(prompt, monkeypatch):
    """Positions behind x are masked; tokens are those of rows that are given whole."""
    denoiser, fed, kept = tiny_denoiser(), set(), set()
    ask = denoiser.forward

    def listen(xt, t, *, cache, **more):
        out = ask(xt, t, cache=cache, **more)
        fed.add(xt.shape[1])
        kept.add(cache._layers[0].buffers[0].shape[2])
        return out

    monkeypatch.setattr(denoiser, "forward", listen)
    sampler = BlockSampler(FirstHitting(denoiser, 2), 4, window=8)
    x = torch.full((1, 240), MASK)
    x[:, :prompt] = 9
    pieces = sampler.pieces(x[:, :prompt], Draws(5, [3]), length=NO_TENSOR_IS_SO_LONG)
    found = torch.cat([piece.tokens for piece in itertools.islice(pieces, 60)], dim=1)
    assert max(fed) == 8 and max(kept) <= 2 * (8 + 4)
    assert torch.equal(found, sampler(x, Draws(5, [3])))


def test_a_length_cuts_the_last_block():
    sampler, x = BlockSampler(FirstHitting(tiny_denoiser()), 4), torch.full((2, 10), MASK)
    pieces = list(sampler.pieces(x[:, :3], Draws(5, [0, 1]), length=10))
    assert [piece.tokens.shape[1] for piece in pieces] == [4, 4, 2] * 2
    rows = [torch.cat([piece.tokens for piece in pieces[i : i + 3]], dim=1) for i in (0, 3)]
    assert torch.equal(torch.cat(rows), sampler(x, Draws(5, [0, 1])))


def test_what_is_allowed_last_is_allowed_ever_after():
    allowed = torch.zeros(2, VOCAB, dtype=torch.bool)
    allowed[0, 7], allowed[1, [8, 9]] = True, True
    sampler = BlockSampler(FirstHitting(tiny_denoiser()), 4)
    pieces = sampler.pieces(torch.full((1, 2), MASK), Draws(0, [0]), length=30, allowed=allowed)
    found = torch.cat([piece.tokens for piece in pieces], dim=1)[0].tolist()
    assert found[0] == 7 and set(found[1:]) == {8, 9}


def test_a_rule_hears_of_whole_rows():
    """Finished blocks, the block as it stands and given tokens further right, with positions in the row."""
    x, asked = start_of(4)[:3], []
    sampler = BlockSampler(FirstHitting(tiny_denoiser(), 2, rows_per_call=3), 4, window=8)
    free = sampler(x, Draws(0, range(3)))

    def rule(tokens, at):
        asked.append((tokens, at))
        return torch.ones(*at.shape, VOCAB, dtype=torch.bool)

    sampler.rule = rule
    assert torch.equal(sampler(x, Draws(0, range(3))), free), "a rule that allows everything changes nothing"
    for tokens, at in asked:
        first = int(at.min()) // 4 * 4
        assert (at // 4 == first // 4).all()
        assert torch.equal(tokens[:, :first], free[:, :first]) and torch.equal(
            tokens[:, first + 4 :], x[:, first + 4 :]
        )
        here = tokens[:, first : first + 4]
        assert ((here == MASK) | (here == free[:, first : first + 4])).all() and (here == MASK).any()
    sampler.rule = lambda tokens, at: torch.arange(VOCAB) == 7 + at[..., None] % 4
    out = sampler(x, Draws(0, range(3)))
    assert torch.equal(out, torch.where(x == MASK, (7 + torch.arange(L) % 4).expand(3, L), x))


def test_a_rule_needs_rows_that_are_given_whole():
    sampler = BlockSampler(FirstHitting(tiny_denoiser()), 4, rule=lambda tokens, at: torch.ones(1, 1, 12) > 0)
    with pytest.raises(InputError, match="a rule is asked about whole rows"):
        next(sampler.pieces(torch.full((1, 2), MASK), Draws(0, [0]), length=8))
    behind_a_cache = BlockSampler(FirstHitting(restricted(tiny_denoiser(), sampler.rule)), 4)
    with pytest.raises(InputError, match="BlockSampler takes it"):
        behind_a_cache(torch.full((1, 8), MASK), Draws(0, [0]))


@pytest.mark.parametrize(("given", "length"), [(5, 4), (0, 4), (0, None)])
def test_a_length_that_does_not_fit_is_refused(given, length):
    sampler = BlockSampler(FirstHitting(tiny_denoiser()), 4)
    with pytest.raises(InputError, match="the rows begin with"):
        next(sampler.pieces(torch.full((1, given), MASK), Draws(0, [0]), length=length))


def test_progress_and_nothing_to_do(make):
    revealed, x = [], start_of(5)
    make(tiny_denoiser())(x, Draws(0, range(5)), progress=revealed.append)
    assert sum(revealed) == (x == MASK).sum()
    for shape in [(0, L), (3, 0)]:
        x = torch.full(shape, MASK)
        assert make(tiny_denoiser())(x, Draws(0, range(shape[0]))).shape == shape


def test_allowed_tokens():
    sampler = BlockSampler(FirstHitting(tiny_denoiser(), rows_per_call=2), 4)
    allowed = torch.zeros(2, L, VOCAB, dtype=torch.bool)
    allowed[0, :, [7, 10]] = True
    allowed[1, :, [8, 9]] = True
    x = torch.full((2, L), MASK)
    x[1, :6] = 7  # given: not asked whether it is allowed, also while the other row goes on
    out = sampler(x, Draws(0, [0, 1]), allowed=allowed)
    assert set(out[0].tolist()) == {7, 10} and set(out[1, 6:].tolist()) == {8, 9}
    with pytest.raises(InputError, match="allowed"):
        sampler(x, Draws(0, [0, 1]), allowed=torch.zeros(VOCAB, dtype=torch.bool))


def test_low_temperature_takes_the_likeliest_token():
    """Greedy decoding in the order of the block's uniforms, written out."""
    denoiser, draws = tiny_denoiser(), Draws(3, [0])
    x = torch.full((1, 10), MASK)
    with torch.no_grad():
        for b, start in enumerate(range(0, 10, 4)):
            width = min(4, 10 - start)
            for i in draws.uniform("reveal", b, width)[0].argsort(descending=True).tolist():
                seen = denoiser(x[:, : start + width], None, pattern=BlockCausal(4))
                x[0, start + i] = seen[0, start + i].argmax()
    for extreme in (Truncation(temperature=1e-3), Truncation(nucleus_p=1e-3)):
        sampler = BlockSampler(FirstHitting(denoiser, truncation=extreme), 4)
        assert torch.equal(sampler(torch.full((1, 10), MASK), draws), x)


def ending(rows_per_call=3):
    """A model that can produce [SEP]; a prompt that holds one."""
    denoiser = tiny_denoiser(parameterization={**SPEC["parameterization"], "allowed": [SEP, *BASES]})
    x = torch.full((3, 40), MASK)
    x[1, :6] = SEP
    steps = FirstHitting(denoiser, rows_per_call=rows_per_call)
    free = BlockSampler(steps, 4)(x, Draws(0, range(3)))
    stopped = BlockSampler(steps, 4, stop=[EndToken(SEP)], fill=PAD)
    return x, free, stopped


@pytest.mark.parametrize("rows_per_call", [1, 3])
def test_an_end_token_ends_its_row_unless_it_was_given(rows_per_call):
    x, free, stopped = ending(rows_per_call)
    out = stopped(x, Draws(0, range(3)))
    for row in range(3):
        made = [i for i in range(40) if free[row, i] == SEP and x[row, i] == MASK]
        end = made[0] + 1 if made else 40
        assert torch.equal(out[row, :end], free[row, :end]) and (out[row, end:] == PAD).all()
        assert made, "the test needs an end"


def test_a_row_that_ends_with_its_block_has_ended():
    rule = EndToken(SEP)
    tokens, made = torch.tensor([[7, 7, 7, SEP]]), torch.ones(1, 4, dtype=torch.bool)
    assert rule.end(tokens, made, 4).tolist() == [4] and rule.end(tokens, ~made, 4).tolist() == [-1]

    class Always(EndToken):
        def end(self, recent, made, new):
            return torch.full((len(recent),), new)

    sampler = BlockSampler(FirstHitting(tiny_denoiser()), 4, stop=[Always(SEP)], fill=PAD)
    pieces = list(sampler.pieces(torch.full((1, 20), MASK), Draws(0, [0])))
    assert len(pieces) == 1 and pieces[0].ended.all() and (pieces[0].tokens != PAD).all()


def test_low_complexity_is_relative_to_the_alphabet():
    rule = LowComplexity(BASES, span=64)
    made = torch.ones(1, 64, dtype=torch.bool)
    random = torch.randint(7, 11, (1, 64), generator=torch.Generator().manual_seed(0))
    repeats = {
        "A": torch.full((1, 64), 7), "AT": torch.tensor([[7, 10] * 32]), "CAG": torch.tensor([[8, 7, 9, 7] * 16]),
        "two letters": torch.where(random > 8, 7, 8),
    }  # fmt: skip
    assert rule.complexity(random).item() > 0.85
    assert rule.complexity(repeats["A"]) == 0
    assert rule.complexity(repeats["AT"]).item() == pytest.approx(math_entropy([31, 31]), abs=1e-9)
    for name in ("A", "AT", "CAG"):
        assert rule.end(repeats[name], made, 4).tolist() == [4], name
        assert rule.end(repeats[name], made & (torch.arange(64) > 0), 4).tolist() == [-1], "a given token counts not"
        assert rule.end(repeats[name][:, 1:], made[:, 1:], 4).tolist() == [-1], "too short to tell"
    assert rule.end(random, made, 4).tolist() == [-1]
    assert LowComplexity((7, 8), span=64).complexity(repeats["two letters"]).item() > 0.9


class NoProductsOfWholeNumbers(TorchFunctionMode):
    """What a GPU refuses: matrix products of whole numbers."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        product = func in (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.einsum)
        assert not product or any(x.is_floating_point() for x in args if isinstance(x, torch.Tensor))
        return func(*args, **kwargs or {})


def test_complexity_can_be_computed_on_a_gpu():
    with NoProductsOfWholeNumbers():
        assert LowComplexity(BASES, span=64).complexity(torch.full((1, 64), BASES[0])).item() == 0


def math_entropy(counts):
    """Entropy of counts over that of 62 different words, the most that 62 places can hold."""
    p = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    return (-(p * p.log()).sum() / torch.tensor(62.0, dtype=torch.float64).log()).item()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda s: BlockSampler(s, 0), "block_size=0"),
        (lambda s: BlockSampler(s, 4, window=6), "multiple of the block size"),
        (lambda s: BlockSampler(s, 4, stop=[EndToken(SEP)]), "fill"),
        (lambda s: LowComplexity(BASES, span=3), "shorter than the span"),
        (lambda s: LowComplexity(BASES, share=1.0), "between 0 and 1"),
        (lambda s: LowComplexity((7,)), "two or more"),
    ],
)
def test_impossible_settings(build, message):
    with pytest.raises(InputError, match=message):
        build(FirstHitting(tiny_denoiser()))
