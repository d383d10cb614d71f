"""tdlas-evaluate: all methods against the Cramer-Rao bound; the only writer of metrics.json."""

from pathlib import Path

from earthsignals import tracking
from earthsignals.compute.device import deterministic
from earthsignals.figures import attach
from earthsignals.params import load_section
from earthsignals.results import save_arrays, write_rows
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import md5_file, read_json, write_json
from earthsignals.tdlas.checkpoint import load_filter_net
from earthsignals.tdlas.dataset import open_scans
from earthsignals.tdlas.evaluate import evaluate
from earthsignals.tdlas.figures import error_vs_bound
from earthsignals.tdlas.lines import read_lines
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.rivals import load_rivals
from earthsignals.tdlas.tables import COLUMNS, error_rows

DATA, REPORTS = Path("data/tdlas"), Path("reports/tdlas")


def main() -> None:
    params, settings = load_section("tdlas", TdlasParams), load_settings()
    deterministic(params.evaluate.seed, settings.threads)
    lines = read_lines(DATA / "lines.csv")
    net = load_filter_net(DATA / "best_model.pt")
    with (
        tracking.run("tdlas", "evaluate", params.model_dump(mode="json"), settings, kind="evaluation") as run,
        open_scans(DATA / "dataset.h5") as file,
    ):
        trained_by = tracking.find_run_by_output(md5_file(DATA / "best_model.pt"), "tdlas")
        run.set_tags({"training_run": trained_by or "not in this store"})
        run.log_dataset(DATA / "dataset.h5", context="evaluation")
        difference = read_json(DATA / "export.json")["onnx_max_rel_diff"]
        found = evaluate(file, lines, load_rivals(net, DATA / "baselines"), params, difference)
        write_json(REPORTS / "metrics.json", found.metrics)
        write_rows(REPORTS / "errors.csv", error_rows(found.metrics), COLUMNS)
        save_arrays(DATA / "evaluation.h5", found.arrays)
        texts = {k: v for k, v in found.metrics.items() if isinstance(v, str)}
        run.set_tags(texts)
        run.log_metrics({k: v for k, v in found.metrics.items() if k not in texts})
        run.log_artifact(REPORTS / "metrics.json")
        run.log_artifact(REPORTS / "errors.csv")
        attach(run, "error_vs_bound", lambda: error_vs_bound(found.arrays))


if __name__ == "__main__":
    run_stage(main)
