"""`earthsignals seismic …` as people call it: one sentence for every fault, and no input is ever lost."""

from __future__ import annotations

import os

import obspy
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from earthsignals.cli.main import app
from earthsignals.seismic.checkpoint import save_model
from earthsignals.seismic.judging.anomalies import fit_reference
from earthsignals.seismic.networks.bottleneck import Bottleneck
from earthsignals.seismic.networks.denoiser import Denoiser
from earthsignals.seismic.params import WindowParams
from earthsignals.seismic.pca import Pca
from earthsignals.seismic.spectrogram.image import Preprocessing
from tests.seismic.test_predict import record, write

SHORT = Preprocessing(window=WindowParams(before_p_s=5, after_p_s=15))  # 2000 samples


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Files of a bottleneck that starts from a PCA, and of a denoiser that was never trained."""
    folder = tmp_path_factory.mktemp("models")
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(24, *SHORT.shape, generator=generator)
    options = {"shape": list(SHORT.shape), "sizes": [4, 8], "components": 8, "hidden": 8, "dropout": 0.0}
    bottleneck = Bottleneck(**options)
    bottleneck.start_from(Pca.fit(images.flatten(1), 8))
    latents = bottleneck.eval().encode(images).detach().numpy()
    reference = fit_reference(latents)
    found = {"autoencoder": folder / "autoencoder.pt", "denoiser": folder / "denoiser.pt"}
    save_model(found["autoencoder"], bottleneck, "bottleneck", SHORT, options=options, reference=reference)
    save_model(found["denoiser"], Denoiser(4), "denoiser", SHORT, options={"channels": 4})
    return found


@pytest.fixture
def call(models, tmp_path, monkeypatch):
    """Run a command outside of any project; its exit status and output. A traceback fails the test."""
    monkeypatch.setenv("EARTHSIGNALS_DEVICE", "cpu")
    monkeypatch.setenv("EARTHSIGNALS_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()

    def run(command, *arguments, network=None):
        network = network or ("denoiser" if command == "denoise" else "autoencoder")
        words = ["seismic", command, *map(str, arguments), "-m", str(models[network])]
        result = CliRunner().invoke(app, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    yield run
    torch.set_num_threads(before)


COMMANDS = ["denoise", "reconstruct", "score", "embed"]


def test_denoise_keeps_identifiers_times_and_rate_whatever_the_file_is_called(call, tmp_path):
    source = write(tmp_path / "Märzbeben, 2 Tage" / "öst lich.mseed", record(9001), rate=80.0)
    assert call("denoise", source.parent, "-o", "rein")[0] == 0
    given, found = obspy.read(source), obspy.read(tmp_path / "rein" / "öst lich_denoised.mseed")
    told = [
        sorted((t.id, t.stats.starttime, t.stats.npts, t.stats.sampling_rate) for t in stream)
        for stream in (given, found)
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_results_never_take_the_place_of_an_input(call, tmp_path, command):
    """The second run of `denoise *.mseed` is given the first run's results."""
    ending = {"denoise": "_denoised", "reconstruct": "_reconstructed"}.get(command)
    sources = [write(tmp_path / "day.mseed", record(2000))]
    if ending:
        sources.append(write(tmp_path / f"day{ending}.mseed", record(2000, 1)))
    before = [source.read_bytes() for source in sources]
    status, output = call(command, *sources, "-o", "." if ending else "day.mseed")
    assert status == 1
    assert f"{sources[-1].name} is one of the inputs and would be overwritten" in output
    assert [source.read_bytes() for source in sources] == before
    assert sorted(tmp_path.iterdir()) == sorted(sources)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_where_the_folder_of_results_should_be(call, tmp_path, command, place):
    source = write(tmp_path / "a.mseed", record(2000))
    (tmp_path / "file").write_text("keep me")
    table = "" if command in ("denoise", "reconstruct") else "/table"
    status, output = call(command, source, "-o", place + table)
    assert (status, len(output.splitlines())) == (1, 1)
    assert "file is a file, expected a folder for the results" in output
    assert (tmp_path / "file").read_text() == "keep me"


@pytest.mark.parametrize("command", ["score", "embed"])
def test_a_folder_or_a_device_where_the_table_should_be(call, tmp_path, command):
    source = write(tmp_path / "a.mseed", record(2000))
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("folder", "a folder"), ("pipe", "no regular file")):
        status, output = call(command, source, "-o", name)
        assert (status, len(output.splitlines())) == (1, 1)
        assert f"{name} is {what}, expected the name of a file" in output
    assert (tmp_path / "pipe").is_fifo()


def test_what_the_system_refuses_to_write_is_a_sentence(call, tmp_path):
    """A name that leaves no room for `_denoised`; the results before it are whole."""
    good = write(tmp_path / "a.mseed", record(2000))
    long = write(tmp_path / f"{'b' * 245}.mseed", record(2000, 1))
    status, output = call("denoise", good, long, "-o", "out")
    assert (status, len(output.splitlines())) == (1, 1)
    assert "cannot be written (File name too long)" in output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_denoised.mseed"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_that_does_not_exist(call, tmp_path, command):
    status, output = call(command, "missing.mseed")
    assert (status, len(output.splitlines())) == (1, 1)
    assert "missing.mseed does not exist; expected a waveform file" in output
    assert call(command, "a" * 300)[0] == 1  # a name that no system holds
    assert not list(tmp_path.iterdir())


def test_of_a_folder_without_anything_usable_all_reasons_are_told(call, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "empty.mseed").touch()
    (tmp_path / "in" / "text.mseed").write_text("hello\n" * 100)
    write(tmp_path / "in" / "short.mseed", record(100))
    status, output = call("score", "in")
    assert (status, len(output.splitlines())) == (1, 1)
    assert "none of 3 files holds a usable record (1 empty, 1 too-short, 1 unknown-format)" in output
    assert "in/empty.mseed: is empty" in output


def test_good_files_among_bad_ones(call, tmp_path):
    write(tmp_path / "in" / "good.mseed", record(2000))
    (tmp_path / "in" / "bad.mseed").write_bytes(b"")
    status, output = call("embed", "in")
    assert status == 0
    assert "1 windows of 1 records" in output
    assert "1 refused (1 empty), see embeddings_refused.csv" in output
    assert len(pd.read_parquet(tmp_path / "embeddings.parquet")) == 1
    assert "in/bad.mseed,empty" in (tmp_path / "embeddings_refused.csv").read_text()


def test_files_of_one_component_each_are_a_record_when_named_one_by_one(call, tmp_path):
    """`denoise *.SAC`, and the same file twice."""
    source = write(tmp_path / "a.mseed", record(2000))
    names = []
    for trace in obspy.read(source):
        names.append(f"XX.ABC.{trace.stats.channel}.SAC")
        trace.write(str(tmp_path / names[-1]), format="SAC")
    status, output = call("denoise", *names, source, source, "-o", "out")
    assert (status, output) == (0, "out: 2 files with 2 records denoised\n")
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["XX.ABC.HHE_denoised.mseed", "a_denoised.mseed"]
    assert len(obspy.read(tmp_path / "out" / found[0])) == 3
    assert call("denoise", *names[:2], "-o", "two")[0] == 1


def test_a_model_of_the_wrong_kind_and_a_size_it_was_not_trained_for(call, tmp_path):
    source = write(tmp_path / "a.mseed", record(2000))
    for command, network in (("denoise", "autoencoder"), ("score", "denoiser"), ("embed", "denoiser")):
        status, output = call(command, source, network=network)
        assert (status, len(output.splitlines())) == (1, 1)
        assert "network, expected" in output
    assert "--size 5 is none of 4, 8" in call("reconstruct", source, "--size", 5)[1]
    assert list(tmp_path.iterdir()) == [source]


def test_more_pictures_than_windows(call, tmp_path):
    source = write(tmp_path / "a.mseed", record(2000))
    assert call("reconstruct", source, "--num-samples", 9, "-o", "out")[1].endswith(", 1 pictures\n")
    assert len(list((tmp_path / "out").glob("*.png"))) == 1


@pytest.mark.parametrize("command", [*COMMANDS, "inspect", "check", "evaluate-real"])
def test_help_has_an_example(command):
    result = CliRunner().invoke(app, ["seismic", command, "--help"])
    assert f"  earthsignals seismic {command}" in result.output
