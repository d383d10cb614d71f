"""Vectors, kinds of files, and DMAP files that are damaged, cut off, empty or something else."""

from __future__ import annotations

import bz2
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pydarnio
import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records import dmap
from earthsignals.superdarn.records.dmap import read_dmap_records
from earthsignals.superdarn.records.gridfile import read_grid, write_grid
from earthsignals.superdarn.records.kinds import kind_of
from earthsignals.superdarn.records.netcdf import read_netcdf
from earthsignals.superdarn.records.notes import Note, Unusable, counted
from earthsignals.superdarn.records.read import files_below, read_vectors
from earthsignals.superdarn.records.vectors import DTYPES, Vectors
from tests.superdarn.record_stand_ins import fitacf_record, some_vectors, write_fitacf

PARAMS = SuperdarnParams()
ASCII = b"2013 3 16 6 0 0 2013 3 16 6 2 0\n2\n22 18\n     st_id        chn       nvec\n"


@pytest.fixture
def grid(tmp_path: Path) -> bytes:
    """A grid file of 9 records, with power and width."""
    write_grid(tmp_path / "whole.grid", some_vectors(windows=9))
    return (tmp_path / "whole.grid").read_bytes()


def _starts(data: bytes) -> list[int]:
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        at += struct.unpack_from("<i", data, at + 4)[0]
    return starts


# -- vectors


def test_columns_are_cast_and_must_be_of_one_length() -> None:
    vectors = some_vectors()
    assert all(getattr(vectors, name).dtype == dtype for name, dtype in DTYPES.items())
    with pytest.raises(EarthSignalsError, match="one length"):
        Vectors(**{**vars(vectors), "power": np.zeros(3)})
    assert len(Vectors.empty()) == 0 and len(Vectors.concatenate([])) == 0


def test_sorted_by_time_radar_channel_and_cell() -> None:
    vectors = some_vectors()
    mixed = vectors.take(np.random.default_rng(1).permutation(len(vectors)))
    assert mixed.sorted().equals(vectors) and not mixed.equals(vectors)
    keys = list(zip(vectors.start_s, vectors.stid, vectors.channel, vectors.index, strict=True))
    assert keys == sorted(keys)


def test_duplicates_are_dropped_and_counted_but_no_other_channel_or_radar() -> None:
    vectors = some_vectors()
    changed = Vectors(**{**vars(vectors), "velocity": vectors.velocity + 1})
    stereo = Vectors(**{**vars(vectors), "channel": vectors.channel + 2})
    once, twice = Vectors.concatenate([vectors, changed]).deduplicated()
    assert twice == len(vectors) and once.equals(vectors)  # the first is kept
    both, none = Vectors.concatenate([vectors, stereo]).deduplicated()
    assert none == 0 and len(both) == 2 * len(vectors)
    assert Vectors.empty().deduplicated()[1] == 0


def test_hemispheres() -> None:
    both = Vectors.concatenate([some_vectors(), some_vectors(south=True)])
    assert len(both.of_hemisphere("north")) == len(both.of_hemisphere("south")) == len(both) // 2


def test_notes_are_summed_by_reason() -> None:
    assert counted([Note("b", 2), Note("a", 1), Note("b", 3), Note("c", 0)]) == {"a": 1, "b": 5}
    error = pickle.loads(pickle.dumps(Unusable("empty", "x: empty")))  # as worker processes send it
    assert (error.reason, str(error)) == ("empty", "x: empty")


# -- kinds


def test_kinds_are_known_by_content(tmp_path: Path, grid: bytes) -> None:
    (tmp_path / "picture.png").write_bytes(bz2.compress(grid))  # whatever the name
    assert kind_of(tmp_path / "picture.png") == "grid"
    fit = write_fitacf(tmp_path / "a", [fitacf_record(5, 1_425_168_000, 3, np.ones(2), np.arange(2))])
    assert kind_of(fit) == "fitacf"
    silent = write_fitacf(tmp_path / "b", [fitacf_record(5, 1_425_168_000, 3, np.ones(0), np.arange(0))])
    assert kind_of(silent) == "fitacf"
    for name, data, kind in (
        ("old", ASCII, "grid-ascii"), ("text", b"hello\n", None), ("empty", b"", None),
        ("zeros", bytes(999), None),
        ("damaged", b"\x01\x00\x01\x00" + grid[4:40] + grid, "grid"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        assert kind_of(tmp_path / name) == kind, name
    with pytest.raises(Unusable, match="cannot be read"):
        kind_of(tmp_path / "absent")


@pytest.mark.parametrize(
    "file, kind",
    [
        ("dmap_tests/test.fitacf.bz2", "fitacf"), ("dmap_tests/test.rawacf", "rawacf"),
        ("dmap_tests/test.map.bz2", "map"), ("dmap_tests/test.iqdat", "iqdat"),
        ("dmap_tests/test.snd", "snd"),
        ("pydarn_tests/test.north.mp", "map"), ("pydarn_tests/test.grd", "grid"),
        ("rst_grd/20130316.0600-0602.north.grd", "grid-ascii"), ("PROVENANCE.txt", None),
        ("secs_nc_north/20150301.sto.v3.0.grid.nc", "grid-netcdf"),
    ],
)  # fmt: skip
def test_kinds_of_real_files(real_data: Path, file: str, kind: str | None) -> None:
    assert kind_of(real_data / "superdarn" / file) == kind


# -- damage


def test_a_whole_file_has_no_notes(grid: bytes) -> None:
    for data in (grid, bz2.compress(grid)):
        reading = read_dmap_records(data, "grid")
        assert len(reading) == 9 and reading.notes == ()


def test_a_truncated_file_gives_its_whole_records(grid: bytes) -> None:
    """pydarnio gives them too, and the place of the first bad byte: it is not passed over."""
    reading = read_dmap_records(grid[:-100], "grid", "cut.grid")
    last = len(grid) - _starts(grid)[-1] - 100
    assert len(reading) == 8
    assert reading.notes == (Note("bytes of damaged records", last, f"of {len(grid) - 100:,}"),)


def test_truncated_bzip2_gives_what_is_there() -> None:
    """A file of several blocks: those before the cut are whole."""
    data = _large()
    packed = bz2.compress(data)
    reading = read_dmap_records(packed[: len(packed) * 3 // 4], "grid", "cut.bz2")
    assert 0 < len(reading) < 400
    assert set(counted(reading.notes)) == {"truncated bzip2", "bytes of damaged records"}


def test_bzip2_damaged_in_the_middle() -> None:
    packed = bytearray(bz2.compress(_large()))
    packed[len(packed) // 2] ^= 0xFF
    reading = read_dmap_records(bytes(packed), "grid", "spoilt.bz2")
    assert len(reading) > 0 and "damaged bzip2" in counted(reading.notes)


def _large() -> bytes:
    rng = np.random.default_rng(0)
    record = {
        "start.year": 2015, "end.year": 2015, "stid": np.zeros(1, "i2"), "channel": np.zeros(1, "i2"),
        "nvec": np.zeros(1, "i2"),
    }  # fmt: skip
    records = [record | {"noise": rng.bytes(6000).hex()} for _ in range(400)]
    return bytes(pydarnio.write_dmap(records))


def test_bytes_after_the_end_of_bzip2_are_counted(grid: bytes) -> None:
    """Further streams (pbzip2) are no such bytes."""
    packed = bz2.compress(grid)
    reading = read_dmap_records(packed + packed + b"garbage", "grid", "a.bz2")
    assert len(reading) == 18 and counted(reading.notes) == {"bytes after the compressed stream": 7}


def test_bzip2_of_which_nothing_can_be_had(grid: bytes) -> None:
    with pytest.raises(Unusable, match=r"x\.bz2: a truncated bzip2 file of which nothing can be had; fetch"):
        read_dmap_records(bz2.compress(grid)[:60], "grid", "x.bz2")


def test_a_damaged_record_does_not_take_the_next_along(grid: bytes) -> None:
    """Its length is spoilt, so pydarnio stops there: 3 of 9; all but the damaged one can be read."""
    at = _starts(grid)
    for length in (5, 2**31 - 1, -7, at[4] - at[3] + 8):
        data = bytearray(grid)
        data[at[3] + 4 : at[3] + 8] = struct.pack("<i", length)
        reading = read_dmap_records(bytes(data), "grid", "a.grid")
        assert len(reading) == 8, length
        assert counted(reading.notes) == {"bytes of damaged records": at[4] - at[3]}


def test_garbage_between_records(grid: bytes) -> None:
    at = _starts(grid)[5]
    junk = b"\x01\x00\x01\x00" * 3 + bytes(50)
    reading = read_dmap_records(grid[:at] + junk + grid[at:], "grid", "a.grid")
    assert len(reading) == 9 and counted(reading.notes) == {"bytes of damaged records": len(junk)}


def test_random_damage_never_breaks_the_reader(grid: bytes) -> None:
    """Some of it makes pydarnio's own code panic, which is no Exception of Python's."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(grid)
        for place in rng.integers(0, len(data), 6):
            data[place] = rng.integers(0, 256)
        try:
            vectors, reading = read_grid(bytes(data), "a.grid")
        except EarthSignalsError:
            continue
        assert len(reading) <= 9 and np.all(np.abs(vectors.mlat) <= 90)


@pytest.mark.parametrize(
    "data, reason, message",
    [
        (b"", "empty", "the file is empty"),
        (b"no radar at all\n" * 9, "no SuperDARN file", "expected fitacf, rawacf, grid or map"),
        (struct.pack("<ii", 65537, 500) + bytes(80), "zero records", "zero records can be read from its 88"),
        (ASCII, "ASCII of the years before DMAP", "convert it to DMAP"),
    ],
)
def test_files_that_give_nothing_say_why(data: bytes, reason: str, message: str) -> None:
    with pytest.raises(Unusable, match=message) as raised:
        read_dmap_records(data, "grid", "some.file")
    assert raised.value.reason == reason and str(raised.value).startswith("some.file: ")


def test_pydarnio_says_nothing_of_old_ascii(tmp_path: Path) -> None:
    """Why they are looked for: no records, no error."""
    (tmp_path / "old.grd").write_bytes(ASCII * 5)
    assert pydarnio.read_grid(str(tmp_path / "old.grd"), mode="lax") == ([], 0)


def test_missing_fields_are_named(grid: bytes) -> None:
    records = read_dmap_records(grid, "grid").records
    some = [{k: v for k, v in record.items() if n > 1 or k != "nvec"} for n, record in enumerate(records)]
    reading = read_dmap_records(bytes(pydarnio.write_dmap(some)), "grid")
    assert len(reading) == 7 and counted(reading.notes) == {"records without nvec": 2}
    none = [{k: v for k, v in record.items() if k != "channel"} for record in records]
    with pytest.raises(Unusable, match=r"every one of its 9 records lacks .* \(channel\)"):
        read_dmap_records(bytes(pydarnio.write_dmap(none)), "grid", "a.grid")


def test_another_kind_is_named(grid: bytes) -> None:
    with pytest.raises(Unusable, match="not a fitacf file but one of grid records"):
        read_dmap_records(grid, "fitacf", "a")


def test_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dmap, "LARGEST_BYTES", 1 << 20)
    monkeypatch.setattr(dmap.decompressed, "__defaults__", (1 << 20,))
    with pytest.raises(Unusable, match="decompresses to more than"):
        read_dmap_records(bz2.compress(bytes(50 << 20)), "grid", "bomb.bz2")


# -- any file


def test_any_kind_is_read(tmp_path: Path, grid: bytes) -> None:
    (tmp_path / "a").write_bytes(grid + grid)
    found = read_vectors(tmp_path / "a", PARAMS)
    assert found.kind == "grid" and found.records == 18 and len(found.vectors) == 9 * 24
    assert counted(found.notes) == {"vectors twice in a file": 9 * 24}


def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path: Path) -> None:
    raw = [fitacf_record(5, 1_425_168_000, 3, np.ones(0), np.arange(0), acfd=np.zeros(2, "f4"))]
    raw[0] = {k: v for k, v in raw[0].items() if not k.startswith("fitacf")}
    with pytest.raises(Unusable, match="rawacf records hold no velocities; fit them first"):
        read_vectors(write_fitacf(tmp_path / "raw", raw), PARAMS)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(Unusable, match="no SuperDARN file"):
        read_vectors(tmp_path / "text", PARAMS)


def test_fields_of_other_types_are_a_sentence_too(tmp_path: Path) -> None:
    strange = [fitacf_record(5, 1_425_168_000, 3, np.ones(2), np.arange(2)) | {"stid": "five"}]
    found = read_vectors(write_fitacf(tmp_path / "a", strange), PARAMS)
    assert len(found.vectors) == 0 and counted(found.notes) == {"records without a possible radar": 1}


def test_what_no_reader_foresaw_is_a_sentence_too(
    tmp_path: Path, grid: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OverflowError("too large")

    (tmp_path / "a").write_bytes(grid)
    monkeypatch.setattr("earthsignals.superdarn.records.read.read_grid", fail)
    with pytest.raises(Unusable, match=r"a: its fields hold what no such file has \(too large\)"):
        read_vectors(tmp_path / "a", PARAMS)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    """To open a pipe by its path would wait for ever."""
    os.mkfifo(tmp_path / "pipe.grid")
    (tmp_path / "link.grid").symlink_to(tmp_path / "pipe.grid")
    for name in ("pipe.grid", "link.grid", "."):
        for read in (kind_of, lambda path: read_vectors(path, PARAMS),
                     lambda path: read_dmap_records(path, "grid"), read_netcdf):  # fmt: skip
            with pytest.raises(Unusable, match="no regular file"):
                read(tmp_path / name)
    with pytest.raises(Unusable, match="no regular file"):
        files_below(tmp_path / "pipe.grid")
    (tmp_path / "a.grid").write_bytes(b"x")
    assert files_below(tmp_path) == [tmp_path / "a.grid"]  # pipes below a folder are left alone


def test_files_below(tmp_path: Path) -> None:
    for name in ("b/2.grid", "a/1.grid", ".mirror/half", "c/.hidden", "b/.x.grid.0a1b2c3d-99.partial.bz2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [file.name for file in files_below(tmp_path)] == ["1.grid", "2.grid"]
    assert files_below(tmp_path / "a/1.grid") == [tmp_path / "a/1.grid"]
    with pytest.raises(EarthSignalsError, match="no such file or folder"):
        files_below(tmp_path / "absent")
    with pytest.raises(EarthSignalsError, match="holds no file"):
        files_below(tmp_path / "c")
