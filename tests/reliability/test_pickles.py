"""Hostile and damaged checkpoints: nothing in them runs, and every failure is one line."""

import io
import os
import pickle
import random
import struct
import zipfile

import pytest
import torch

from dnadiff.checkpoints.pickles import Archive, Storage, Stub, mapping
from dnadiff.errors import InputError
from dnadiff.recipes.convert import convert
from tests.foreign import archive, bd3lm_as_pickled, description_of, lightning, mdlm_config


class Canary:
    """Creates a file when it is unpickled by someone who trusts it."""

    def __init__(self, how, file):
        self.how, self.file = how, str(file)

    def __reduce__(self):
        write = f"open({self.file!r}, 'w').close()"
        if self.how == "nested":
            return dict, ([(1, Canary("eval", self.file))],)
        if self.how == "state":
            return Canary, ("eval", self.file), {"inner": Canary("exec", self.file)}
        if self.how == "pickled":
            return pickle.loads, (pickle.dumps(Canary("eval", self.file)),)
        call = {"eval": eval, "exec": exec, "os.system": os.system}[self.how]
        return call, (f"touch '{self.file}'" if call is os.system else write,)


WAYS = ("os.system", "eval", "exec", "nested", "state", "pickled")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_nothing_named_in_a_pickle_is_called(tmp_path, how, protocol):
    file = tmp_path / "canary"
    data = pickle.dumps({"list": [Canary(how, file)], "tuple": (Canary(how, file),)}, protocol)
    with Archive(archive(tmp_path / "x.ckpt", data)) as read:
        assert isinstance(read.root["list"][0], Stub) and isinstance(read.root["tuple"][0], Stub)
    assert not file.exists()
    pickle.loads(data)
    assert file.exists()  # it does sing where it is trusted


@pytest.mark.parametrize("how", WAYS)
def test_a_checkpoint_with_canaries_everywhere_converts_and_none_sings(tmp_path, how):
    file = tmp_path / "canary"
    canary = Canary(how, file)
    config = {**mdlm_config(), "extra": canary, "callbacks": {"inner": [canary]}}
    source = lightning(tmp_path / "x.ckpt", config=config, optimizer_states=[canary], callbacks={canary: canary})
    convert(str(source), str(tmp_path / "model"), quiet=True)
    assert (tmp_path / "model" / "config.json").exists() and not file.exists()


@pytest.mark.parametrize("place", ["tokenizer", "config", "state_dict", "ema"])
@pytest.mark.parametrize("how", WAYS)
def test_a_canary_in_place_of_a_part_is_refused_in_silence(tmp_path, place, how):
    file = tmp_path / "canary"
    parts = {place: Canary(how, file)}
    with pytest.raises(InputError, match="work"):
        convert(str(lightning(tmp_path / "x.ckpt", **parts)), str(tmp_path / "model"))
    assert not file.exists() and not (tmp_path / "model").exists()


def test_a_canary_as_a_persistent_id_is_refused_in_silence(tmp_path):
    file = tmp_path / "canary"

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", Canary("os.system", file), "0", "cpu", 1) if value == "here" else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(["here"])
    with pytest.raises(InputError, match="no storage"):
        Archive(archive(tmp_path / "x.ckpt", buffer.getvalue()))
    assert not file.exists()


def test_a_stub_cannot_be_rebuilt_into_something_else(tmp_path):
    """BUILD on the class of a stub, and calls of what was just made, reach nothing but stubs."""
    build_on_class = b"\x80\x02cos\nsystem\n}X\x01\x00\x00\x00aK\x01sb."
    with pytest.raises(InputError):
        Archive(archive(tmp_path / "x.ckpt", build_on_class))
    call_the_result = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85RX\x02\x00\x00\x00ls\x85R."
    with Archive(archive(tmp_path / "y.ckpt", call_the_result)) as read:
        assert isinstance(read.root, Stub) and read.root.path == "os.system" and Stub.path == ""


def tensor_pickle(tmp_path, **changes):
    """The description of one tensor of six numbers, with other words about where they lie."""
    words = {
        "kind": torch.FloatStorage,
        "key": "0",
        "count": 6,
        "offset": 0,
        "size": (2, 3),
        "stride": (3, 1),
    } | changes

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", words["kind"], words["key"], "cpu", words["count"]) if value == "numbers" else None

    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (
                "numbers",
                words["offset"],
                words["size"],
                words["stride"],
                False,
                {},
            )

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(Tensor())
    return archive(tmp_path / "x.ckpt", buffer.getvalue(), {"0": torch.arange(6.0)})


def test_a_tensor_is_what_torch_saved(tmp_path):
    with Archive(tensor_pickle(tmp_path)) as read:
        assert read.tensor(read.root).tolist() == [[0, 1, 2], [3, 4, 5]]
    value = torch.randn(4, 5).t()[1:3]  # not contiguous, with an offset
    for kind in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        torch.save([value.to(kind), torch.nn.Parameter(value.to(kind))], tmp_path / "y.pt")
        with Archive(tmp_path / "y.pt") as read:
            for part in read.root:
                assert torch.equal(read.tensor(part), value.to(kind).float())


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 1},
        {"size": (7,), "stride": (1,)},
        {"size": (2, 3), "stride": (5, 1)},
        {"size": (10**9, 10**9), "stride": (0, 0)},
        {"size": (2,), "stride": (-1,), "offset": 1},
        {"size": (-2, -3)},
        {"size": (2, 3), "stride": (1,)},
        {"size": "23"},
        {"offset": True},
        {"count": 7},
        {"count": 5},
        {"count": 10**12},
        {"count": -6},
        {"count": "6"},
        {"key": "1"},
        {"key": "../data.pkl"},
        {"kind": torch.LongStorage},
    ],
)
def test_tensors_that_reach_beyond_their_numbers_are_refused(tmp_path, changes):
    with pytest.raises(InputError, match="work"), Archive(tensor_pickle(tmp_path, **changes)) as read:
        read.tensor(read.root)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02].",  # whole, and no checkpoint
        b"\x80\x02]r\xff\xff\xff\xff.",  # a memo of four thousand million entries
        b"\x80\x02\x82\x01.",  # the extension registry
        b"\x80\x02B\xff\xff\xff\x7fab.",
        b"\x80\x05\x8e" + struct.pack("<Q", 2**60) + b"ab.",
        b"\x80\x02c" + b"\x00\n\x00\n.",
        b"(" * 10**5 + b"t" * 10**5 + b".",
        b"\x80\x02}}K\x01su.",
    ],
)
def test_damaged_descriptions_are_one_line(tmp_path, data):
    with pytest.raises(InputError) as caught:
        convert(str(archive(tmp_path / "x.ckpt", data)), str(tmp_path / "model"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\x80\x02]r\xff\xff\xff\xff.", b"\x80\x02]r\x00\x01\x00\x00.", b"\x80\x02\x82\x01."])
def test_what_asks_for_memory_or_a_registry_is_refused_before_it_is_obeyed(tmp_path, data):
    with pytest.raises(InputError, match="a forbidden"):
        Archive(archive(tmp_path / "x.ckpt", data))


def test_damaged_archives_are_one_line(tmp_path):
    source = lightning(tmp_path / "x.ckpt")
    data = source.read_bytes()
    compressed = archive(tmp_path / "z.ckpt", description_of(source), compression=zipfile.ZIP_DEFLATED)
    big_endian = tmp_path / "big.ckpt"
    with zipfile.ZipFile(big_endian, "w") as file:
        file.writestr("archive/data.pkl", description_of(source))
        file.writestr("archive/byteorder", "big")
    empty = tmp_path / "empty.ckpt"
    zipfile.ZipFile(empty, "w").close()
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(data[: len(data) // 2])
    flipped = tmp_path / "flipped.ckpt"
    middle = data.index(b"archive/data/0") if b"archive/data/0" in data else len(data) // 2
    flipped.write_bytes(data[: middle + 400] + bytes([data[middle + 400] ^ 1]) + data[middle + 401 :])
    for path in (compressed, big_endian, empty, cut, flipped):
        with pytest.raises(InputError) as caught:
            convert(str(path), str(tmp_path / "model"), weights="raw")
        assert "\n" not in str(caught.value) and not (tmp_path / "model").exists()


def test_a_configuration_that_contains_itself_is_refused(tmp_path):
    config = mdlm_config()
    config["loader"]["config"] = config
    with pytest.raises(InputError, match="contains itself"):
        convert(str(lightning(tmp_path / "x.ckpt", config=config)), str(tmp_path / "model"))


def test_random_damage_never_ends_in_another_error(tmp_path):
    """Flipped bytes in upstream's own pickle: it is read, or refused with one line."""
    data = bytearray(description_of(bd3lm_as_pickled(tmp_path / "x.ckpt")))
    rng, read = random.Random(1), 0
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            with Archive(archive(tmp_path / "y.ckpt", bytes(damaged))) as opened:
                read += len(mapping(opened.root)) > 0
        except InputError as error:
            assert "\n" not in str(error)
    assert 0 < read < 60


def test_storages_are_plain_values(tmp_path):
    with Archive(lightning(tmp_path / "x.ckpt")) as read:
        part = next(iter(mapping(mapping(read.root)["state_dict"]).values()))
        assert part.args[0] == Storage("torch.FloatStorage", "0", 12 * 64)


@pytest.mark.parametrize("how", [b"\x85", b"\x85Nb", b"q\x000h\x00\x85"])
def test_keys_nested_so_deep_that_hashing_them_would_crash_are_refused(tmp_path, how):
    with pytest.raises(InputError, match="nested too deep"):
        Archive(archive(tmp_path / "x.ckpt", b"\x80\x02})" + how * 300_000 + b"K\x01s."))
    with Archive(archive(tmp_path / "y.ckpt", b"\x80\x02})" + how * 900 + b"K\x01s.")) as read:
        assert list(read.root.values()) == [1]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_what_is_nested_in_usual_ways_is_read(tmp_path, protocol):
    loop = []
    loop.append((loop, 1))
    value = {"loop": loop, "pair": {(1, (2, 3)): (4,)}, "again": [loop, loop[0]], "set": frozenset([(1, 2)])}
    with Archive(archive(tmp_path / "x.ckpt", pickle.dumps(value, protocol))) as read:
        assert read.root["pair"] == value["pair"] and read.root["loop"][0][1] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"size": (1, 6), "stride": (10**30, 1)},
        {"size": (0,), "stride": (1,), "offset": 10**30},
        {"size": (10**30, 0), "stride": (1, 1)},
    ],
)
def test_tensors_of_numbers_no_machine_has_are_refused(tmp_path, changes):
    with Archive(tensor_pickle(tmp_path, **changes)) as read, pytest.raises(InputError, match="beyond its numbers"):
        read.tensor(read.root)


def test_a_storage_cannot_be_changed(tmp_path):
    storage = b"(X\x07\x00\x00\x00storagecb\nc\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ"
    data = b"\x80\x02" + storage + b"}X\x04\x00\x00\x00size]sb."
    with pytest.raises(InputError, match="a storage that is changed"):
        Archive(archive(tmp_path / "x.ckpt", data))


@pytest.mark.parametrize(("place", "value"), [(6, 90), (9, 8)], ids=["version", "name"])
def test_an_archive_of_another_version_or_with_broken_names_is_one_line(tmp_path, place, value):
    data = bytearray(lightning(tmp_path / "x.ckpt").read_bytes())
    entry = data.rfind(b"PK\x01\x02")
    data[entry + place], data[entry + 46] = value, 0xFF
    (tmp_path / "y.ckpt").write_bytes(data)
    with pytest.raises(InputError, match="is no checkpoint that"):
        convert(str(tmp_path / "y.ckpt"), str(tmp_path / "model"))
