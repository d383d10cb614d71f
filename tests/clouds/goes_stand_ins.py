"""ABI L1b files of a few pixels, and a server of buckets on the loopback that serves such files."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

RADIANS_PER_KM = 28e-6
"""Angle of a kilometre right below the satellite, as the fixed grid counts (2 km are 56 µrad)."""
KAPPA = {"C01": 0.0015839, "C02": 0.0019589, "C03": 0.0033721, "C06": 0.0402957}
"""Reflectance per W m-2 sr-1 um-1, of the order of the real ones."""
PLANCK = {
    "C11": (19712.5, 1701.89, 0.19396, 0.99946), "C13": (10835.6, 1394.12, 0.07786, 0.99974),
    "C14": (8495.35, 1285.52, 0.21781, 0.99922), "C15": (6439.94, 1172.14, 0.22019, 0.99914),
}  # fmt: skip
"""fk1, fk2, bc1, bc2 of the emissive bands, those of GOES-17."""

_EPOCH = dt.datetime(2000, 1, 1, 12, tzinfo=dt.UTC)


def file_name(band: str, start: dt.datetime, *, product: str = "ABI-L1b-RadM1", satellite: int = 16) -> str:
    stamp = f"{start:%Y%j%H%M%S}0"
    end = f"{start + dt.timedelta(seconds=20):%Y%j%H%M%S}0"
    return f"OR_{product}-M6{band}_G{satellite}_s{stamp}_e{end}_c{end}.nc"


def write_l1b(
    folder: Path, band: str, values: np.ndarray, start: dt.datetime, *, centre: tuple[float, float],
    step_km: float = 2.0, product: str = "ABI-L1b-RadM1", satellite: int = 16, longitude: float = -75.0,
) -> Path:  # fmt: skip
    """A file whose pixels have the reflectances or brightness temperatures `values` (rows, columns).

    centre: x and y of the sector's middle on the fixed grid, radians; NaN becomes the fill value. Values are
    packed to 15 bits, finer than in real files, so that arithmetic can be checked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(band, start, product=product, satellite=satellite)
    rows, columns = values.shape
    kappa = KAPPA.get(band)
    radiance = values / kappa if kappa else _planck(values, *PLANCK[band])
    known = np.isfinite(radiance)
    scale = float(radiance[known].max(initial=1e-3)) / 32000
    counts = np.where(known, np.round(np.nan_to_num(radiance) / scale), 32767).astype(np.int16)
    step = step_km * RADIANS_PER_KM
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({
            "platform_ID": f"G{satellite}", "orbital_slot": "GOES-East", "instrument_ID": "FM1",
            "instrument_type": "GOES R Series Advanced Baseline Imager", "production_site": "WCDAS",
            "scene_id": "Mesoscale", "timeline_id": "ABI Mode 6", "title": "ABI L1b Radiances",
            "spatial_resolution": f"{step_km:g}km at nadir", "dataset_name": path.name,
            "time_coverage_start": f"{start:%Y-%m-%dT%H:%M:%S}.0Z",
            "time_coverage_end": f"{start + dt.timedelta(seconds=20):%Y-%m-%dT%H:%M:%S}.0Z",
        })  # fmt: skip
        for name, size in (("y", rows), ("x", columns), ("band", 1)):
            file.createDimension(name, size)
        rad = file.createVariable("Rad", "i2", ("y", "x"), fill_value=np.int16(32767), zlib=True,
                                  chunksizes=(min(rows, 226), min(columns, 226)))  # fmt: skip
        rad.set_auto_maskandscale(False)
        emissive = kappa is None
        rad.setncatts({
            "long_name": "ABI L1b Radiances", "scale_factor": np.float64(scale), "add_offset": np.float64(0),
            "standard_name": "toa_outgoing_radiance_per_unit_" + ("wavenumber" if emissive else "wavelength"),
            "units": "mW m-2 sr-1 (cm-1)-1" if emissive else "W m-2 sr-1 um-1", "_Unsigned": "true",
            "sensor_band_bit_depth": np.int8(15), "grid_mapping": "goes_imager_projection",
            "valid_range": np.array([0, 32766], np.int16),
            "resolution": f"y: {step:.6f} rad x: {step:.6f} rad",
            "coordinates": "band_id band_wavelength t y x",
        })  # fmt: skip
        rad[:] = counts
        for axis, size, middle, sign in (("y", rows, centre[1], -1), ("x", columns, centre[0], 1)):
            angles = file.createVariable(axis, "f8", (axis,))
            angles.setncatts({"units": "rad", "axis": axis.upper(),
                              "standard_name": f"projection_{axis}_coordinate"})  # fmt: skip
            angles[:] = middle + sign * step * (np.arange(size) - (size - 1) / 2)
        projection = file.createVariable("goes_imager_projection", "i4")
        projection.setncatts({
            "grid_mapping_name": "geostationary", "perspective_point_height": 35786023.0,
            "semi_major_axis": 6378137.0, "semi_minor_axis": 6356752.31414, "sweep_angle_axis": "x",
            "inverse_flattening": 298.2572221, "latitude_of_projection_origin": 0.0,
            "longitude_of_projection_origin": longitude,
        })  # fmt: skip
        planck = dict(zip(("fk1", "fk2", "bc1", "bc2"), PLANCK.get(band, (np.nan,) * 4), strict=True))
        scalars = {
            "nominal_satellite_subpoint_lat": 0.0, "nominal_satellite_subpoint_lon": longitude,
            "nominal_satellite_height": 35786.023, "kappa0": np.nan if kappa is None else kappa,
            "esun": np.nan if kappa is None else np.pi / kappa, "earth_sun_distance_anomaly_in_AU": 1.0,
            **{f"planck_{key}": value for key, value in planck.items()},
        }
        for name, value in scalars.items():
            file.createVariable(name, "f4", fill_value=np.float32(-999))[...] = value
        flip = file.createVariable("yaw_flip_flag", "i1")
        flip[...] = 0
        file.createVariable("t", "f8")[...] = (start - _EPOCH).total_seconds()
        file.createVariable("band_id", "i1", ("band",))[:] = int(band[1:])
        file.createVariable("band_wavelength", "f4", ("band",))[:] = 0.5
    return path


def _planck(temperature: np.ndarray, fk1: float, fk2: float, bc1: float, bc2: float) -> np.ndarray:
    """Radiance of a brightness temperature: GOES-R Product Definition and Users' Guide, vol. 3."""
    return fk1 / (np.exp(fk2 / (bc1 + bc2 * temperature)) - 1)


@dataclass(frozen=True)
class BucketServer:
    """A real S3 server, open to all as NOAA's buckets are."""

    endpoint: str
    folder: Path
    """The files behind the buckets: `folder/<bucket>/<key>`."""

    def put(self, path: Path, bucket: str, prefix: str) -> Path:
        target = self.folder / bucket / prefix / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        return target


@contextmanager
def bucket_server(folder: Path) -> Iterator[BucketServer]:
    """`rclone serve s3` on a free port of the loopback, stopped by its process id at the end."""
    objects = folder / "objects"
    objects.mkdir(parents=True)
    port = free_port()
    program = Path(sys.executable).with_name("rclone")
    server = subprocess.Popen(
        [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--dir-cache-time", "50ms",
         "--config", "/dev/null", "--cache-dir", folder / "cache", "--log-file", folder / "log", objects],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not _answers(port):
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield BucketServer(f"http://127.0.0.1:{port}", objects)
    finally:
        server.terminate()
        server.wait(timeout=20)


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
