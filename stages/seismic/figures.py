"""seismic-figures: figures with their data, and views to touch; each folder is replaced as a whole."""

from pathlib import Path

from earthsignals.params import load_section
from earthsignals.results import read_arrays
from earthsignals.seismic.figures import draw_all
from earthsignals.seismic.pages import VIEWS, Inputs, write
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.store.packed import open_store
from earthsignals.stage import run_stage
from earthsignals.storage import atomic_directory, read_json

DATA, REPORTS = Path("data/seismic"), Path("reports/seismic")
TRAININGS = ("bottleneck", "denoiser", "seed")


def main() -> None:
    params = load_section("seismic", SeismicParams)
    arrays, metrics = read_arrays(DATA / "evaluation.h5"), read_json(REPORTS / "metrics.json")
    histories = {name: read_json(REPORTS / f"training_{name}.json") for name in TRAININGS}
    with atomic_directory(REPORTS / "figures") as out, atomic_directory(DATA / "figures") as sources:
        skipped = draw_all(arrays, metrics, histories, out, sources)
    store = open_store(DATA / "packed", corrupt=params.store.corrupt)
    image = SpectrogramImage(Preprocessing.from_params(params))
    with atomic_directory(DATA / "pages") as out:
        left_out = write(VIEWS, Inputs(arrays, store, image), out)
    for name, reason in (skipped | {f"page {name}": reason for name, reason in left_out.items()}).items():
        print(f"{name}: not drawn, {reason}")


if __name__ == "__main__":
    run_stage(main)
