"""The parts of an evaluation: each takes the `Scene` and returns metrics and arrays.

Metrics hold a mean as `name`, `name_low`, `name_high` (95 % interval over stations), None where there is
nothing to judge. Arrays hold it as (…, 3).
"""

from earthsignals.seismic.judging.sections.anomalies import find_anomalies
from earthsignals.seismic.judging.sections.denoising import denoising
from earthsignals.seismic.judging.sections.detection import detect
from earthsignals.seismic.judging.sections.examples import examples
from earthsignals.seismic.judging.sections.plain import reconstruct_plain
from earthsignals.seismic.judging.sections.reconstruction import reconstruct
from earthsignals.seismic.judging.sections.scene import Floor, Scene

__all__ = [
    "Floor", "Scene", "denoising", "detect", "examples", "find_anomalies", "reconstruct", "reconstruct_plain",
]  # fmt: skip
