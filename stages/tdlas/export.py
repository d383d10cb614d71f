"""tdlas-export: the network as ONNX, checked against torch on the test scans."""

from pathlib import Path

from earthsignals.compute.device import deterministic
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.storage import write_json
from earthsignals.tdlas.checkpoint import load_filter_net
from earthsignals.tdlas.dataset import open_scans
from earthsignals.tdlas.export import check_parity, export_onnx, parity

OUT = Path("data/tdlas")


def main() -> None:
    deterministic(0, load_settings().threads)
    net = load_filter_net(OUT / "best_model.pt")
    export_onnx(net, OUT / "model.onnx")
    with open_scans(OUT / "dataset.h5") as file:
        difference = parity(net, OUT / "model.onnx", file)
    check_parity(difference)
    write_json(OUT / "export.json", {"onnx_max_rel_diff": difference})


if __name__ == "__main__":
    run_stage(main)
