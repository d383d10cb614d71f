"""A process that trains something real in milliseconds, and logs it as the pipelines do.

    python -m tests.services.logging_job PROJECT PIPELINE VERB RATE EPOCHS PAUSE

Gradient descent with step `RATE` on a least-squares problem of 8 unknowns, `PAUSE` seconds an epoch.
Prints each epoch once it has been logged.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from earthsignals import tracking
from earthsignals.settings import Settings


def main(project: Path, pipeline: str, verb: str, rate: float, epochs: int, pause: float) -> None:
    generator = np.random.Generator(np.random.Philox(key=1))
    inputs = generator.normal(size=(3, 200, 8))  # train, val, test
    truth = generator.normal(size=8)
    targets = inputs @ truth + 0.1 * generator.normal(size=(3, 200))
    weights = np.zeros(8)

    def losses() -> np.ndarray:
        return ((inputs @ weights - targets) ** 2).mean(axis=1)

    params = {"train": {"learning_rate": rate, "epochs": epochs}}
    with tracking.run(pipeline, verb, params, Settings(), kind="training", root=project) as run:
        for epoch in range(epochs):
            train, val, _ = losses()
            run.log_metrics({"train/loss": train, "val/loss": val}, step=epoch)
            print(epoch, flush=True)
            gradient = inputs[0].T @ (inputs[0] @ weights - targets[0]) / 100
            weights -= rate * gradient
            time.sleep(pause)
        run.log_metrics({"test/loss": losses()[2]})
        summary = project / "reports" / pipeline / f"{verb}.csv"
        summary.parent.mkdir(parents=True, exist_ok=True)
        summary.write_text("weight\n" + "\n".join(f"{value:.6f}" for value in weights) + "\n")
        run.log_artifact(summary, "tables")
        figure = project / "reports" / pipeline / "figures" / f"{verb}.png"
        figure.parent.mkdir(exist_ok=True)
        figure.write_bytes(weights.tobytes())
        run.log_figure(figure)


if __name__ == "__main__":
    folder, pipeline, verb, rate, epochs, pause = sys.argv[1:]
    main(Path(folder), pipeline, verb, float(rate), int(epochs), float(pause))
