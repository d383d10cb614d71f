"""`earthsignals plume …`: from a flightline on disk to its saliency map and its plumes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from earthsignals.storage import EarthSignalsError

app = typer.Typer(
    help="""Methane plumes in airborne imagery: flightlines → exact saliency → plumes and kg/h.

Examples:

\b
  earthsignals plume check                          is everything there? one batch, forward and back
  earthsignals plume saliency ang20200924t211102_ch4mf_v2y1_img
  earthsignals plume saliency *_img -g 0 1 2 3 -o maps --cog
  earthsignals plume plumes ang20200924t211102_ch4mf_v2y1_img --wind 4.2
  earthsignals plume evaluate-real ../shared/data/plume
""",
    no_args_is_help=True,
    rich_markup_mode=None,
)
MODEL = "data/plume/best_model.pt"
SALIENCY = Path("data/plume/saliency/plumes.json")
REPORTS = Path("reports/plume")
Model = Annotated[
    str, typer.Option("--model", "-m", help="A best_model.pt, or COVID_QC, CalCH4_v8, Permian_QC.")
]
Gpus = Annotated[
    list[int] | None,
    typer.Option("--gpus", "-g", metavar="N...", show_default="the setting `device`",
                 help="GPUs that share the work, e.g. -g 0 1 2 3; -1 is the CPU."),
]  # fmt: skip
Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
Band = Annotated[str | None, typer.Option(help="CH4 band by name or number from 1.")]


class _SeveralGpus(TyperCommand):
    """Takes all whole numbers after one -g or --gpus, as argparse does: -g 0 1 2 3."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread_numbers(args, ("-g", "--gpus")))


def spread_numbers(arguments: list[str], names: tuple[str, ...]) -> list[str]:
    """`-g 0 1` as `-g=0 -g=1` in option `names[-1]`; what is no whole number is left where it is."""
    found: list[str] = []
    taking = False
    for place, argument in enumerate(arguments):
        if argument == "--":
            return found + arguments[place:]
        number = re.fullmatch(r"-?\d+", argument) is not None
        follows = arguments[place + 1 : place + 2]
        if argument in names and follows and re.fullmatch(r"-?\d+", follows[0]):
            taking = True
        elif taking and number:
            found.append(f"{names[-1]}={argument}")
        else:
            taking = False
            found.append(argument)
    return found


@app.command(cls=_SeveralGpus)
def saliency(
    flightlines: Annotated[
        list[Path], typer.Argument(metavar="FLIGHTLINE...", help="ENVI IMG (or GeoTIFF), one or more.")
    ],
    model: Model = MODEL,
    gpus: Gpus = None,
    batch: Annotated[
        int, typer.Option("--batch", "-b", min=1, help="Windows at a time per device (sliding).")
    ] = 32,
    output: Folder = Path("."),
    mode: Annotated[
        str | None,
        typer.Option(metavar="dense|sliding|shift-stitch", show_default="the fastest exact one",
                     help="The same map for networks without padding, at very different cost."),
    ] = None,
    band: Band = None,
    preprocessing: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For bare weights whose file names no campaign: COVID_QC, "
                                          "CalCH4_v8, Permian_QC or multicampaign."),
    ] = None,
    self_check: Annotated[
        int, typer.Option(min=0, metavar="N", help="Recompute N random pixels by sliding window; refuse "
                                                   "the map where they differ by more than 1e-5.")
    ] = 0,
    cog: Annotated[bool, typer.Option("--cog", help="Also a Cloud-Optimised GeoTIFF.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Map anew what is there already.")
    ] = False,
) -> None:  # fmt: skip
    """Probability of a plume around every pixel: <stem>_saliency.img, .hdr and .json.

    The map is ENVI float32 in [0, 1], -9999 where the flightline has no measurement, in the
    flightline's own place and rotation. Interrupted? Type the same again: it goes on from there.

    Examples:

    \b
      earthsignals plume saliency FLIGHTLINE                   into this folder
      earthsignals plume saliency *_img -o maps --cog          all of a night
      earthsignals plume saliency FLIGHTLINE -g 0 1 2 3 --self-check 200
    """
    import torch

    from earthsignals.plume.checkpoint import load_model
    from earthsignals.plume.predict import saliency as map_flightline
    from earthsignals.plume.saliency.devices import inference_devices
    from earthsignals.plume.saliency.modes import choose_mode
    from earthsignals.settings import load_settings

    torch.set_num_threads(load_settings().threads)
    inference_devices(gpus)
    net = load_model(model, preprocessing)
    choose_mode(net, mode)
    failed = 0
    for flightline in flightlines:
        try:
            typer.echo(
                map_flightline(
                    flightline, net, output, devices=gpus, batch=batch, mode=mode, band=band,
                    self_check=self_check, cog=cog, overwrite=overwrite, say=_say,
                )
            )  # fmt: skip
        except KeyboardInterrupt:
            _say("interrupted; the same command goes on from where it stopped")
            raise
        except EarthSignalsError as error:
            if len(flightlines) == 1:
                raise
            _say(f"earthsignals: {error}")  # the others of a night's work go on
            failed += 1
    if failed:
        raise EarthSignalsError(f"{failed} of {len(flightlines)} flightlines could not be mapped, see above")


@app.command(cls=_SeveralGpus)
def plumes(
    flightline: Annotated[Path, typer.Argument(help="ENVI IMG (or GeoTIFF).")],
    saliency: Annotated[
        Path | None, typer.Option(metavar="MAP", help="Its saliency map; default: made if need be.")
    ] = None,
    model: Model = MODEL,
    gpus: Gpus = None,
    wind: Annotated[
        list[str] | None,
        typer.Option(metavar="M/S", help="Wind speed, or NAME=SPEED; may be repeated for several winds."),
    ] = None,
    wind_error: Annotated[
        float | None,
        typer.Option(min=0, show_default="plume.detection.wind_error",
                     help="Relative standard error of the wind speed, e.g. 0.25."),
    ] = None,
    wind_direction: Annotated[
        float | None,
        typer.Option(min=-360, max=360, help="Where the wind blows TO, degrees clockwise from north (what a "
                                             "weather report gives, plus 180)."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(metavar="K", show_default="params.yaml", help="Of the plumes' air.")
    ] = None,
    pressure: Annotated[
        float | None,
        typer.Option(metavar="HPA", show_default="params.yaml", help="Of the plumes' air: 845 at 1,500 m."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, show_default="the model's own", help="Saliency of a plume.")
    ] = None,
    band: Band = None,
    output: Folder = Path("."),
) -> None:  # fmt: skip
    """Plumes with outline, source, mass and emission rate: <stem>_plumes.gpkg, .geojson, .png, .kmz.

    Rates need --wind: the speed that carries the plume, as a rule between the 10 m wind and that of the
    mixed layer. Without it the tables hold everything else.

    Examples:

    \b
      earthsignals plume plumes FLIGHTLINE --wind 4.2 --wind-error 0.2
      earthsignals plume plumes FLIGHTLINE --saliency maps/FLIGHTLINE_saliency.img
      earthsignals plume plumes FLIGHTLINE --wind era5=4.2 --wind hrrr=3.1 --pressure 845
    """
    import torch

    from earthsignals.params import load_section, validate
    from earthsignals.plume.checkpoint import load_model
    from earthsignals.plume.detection.measure import measure_flightline
    from earthsignals.plume.params import DetectionParams, PlumeParams
    from earthsignals.plume.predict import saliency as map_flightline
    from earthsignals.plume.publishing.publish import publish_all
    from earthsignals.plume.saliency.mapfile import model_of_map
    from earthsignals.settings import load_settings

    inside = Path("params.yaml").is_file()  # flightlines are mapped anywhere; defaults serve outside
    params = load_section("plume", PlumeParams).detection if inside else DetectionParams()
    air = {"temperature_k": temperature, "pressure_hpa": pressure}
    given = {name: value for name, value in air.items() if value is not None}
    params = validate(DetectionParams, params.model_dump() | given, source="the command line")
    winds = _winds(wind or [], wind_error)
    if saliency is not None:
        _is_map(saliency, flightline)
    if saliency is None:
        torch.set_num_threads(load_settings().threads)
        saliency = map_flightline(flightline, load_model(model), output, devices=gpus, band=band, say=_say)
    md5, own_threshold = model_of_map(saliency)
    threshold = own_threshold if threshold is None else threshold
    if threshold is None:
        raise EarthSignalsError(
            f"{saliency} does not say from which saliency on there is a plume, as maps of "
            "`earthsignals plume saliency` do: give --threshold"
        )
    scene = measure_flightline(
        flightline, saliency, threshold, params, winds=winds, wind_bearing_deg=wind_direction, band=band,
        calibration=_calibration(md5, told=bool(winds)), model_md5=md5,
    )  # fmt: skip
    published = publish_all(scene, output)
    for line in _table(scene):
        typer.echo(line)
    for kind, reason in published.left_out.items():
        _say(f"no {kind}: {reason}")
    for path in published.paths.values():
        typer.echo(path)


@app.command()
def check(
    data: Annotated[
        Path | None, typer.Argument(help="A flightline to look at; default: simulate one.")
    ] = None,
) -> None:
    """Look at data and model and run one batch forward and backward, within a minute."""
    from earthsignals.params import load_section
    from earthsignals.plume.check import check as run_check
    from earthsignals.plume.params import PlumeParams
    from earthsignals.settings import load_settings

    for line in run_check(load_section("plume", PlumeParams), load_settings(), data):
        typer.echo(f"✓ {line}")


@app.command("evaluate-real")
def evaluate_real(
    path: Annotated[Path, typer.Argument(help="Folder of real chips or flightlines with their masks.")],
    model: Model = MODEL,
) -> None:
    """Judge the trained network on real data; writes reports/plume/real.json and an MLflow run.

    Thresholds are those that plume-evaluate froze on synthetic validation days.
    """
    from earthsignals import tracking
    from earthsignals.params import load_section
    from earthsignals.plume.checkpoint import load_model
    from earthsignals.plume.params import PlumeParams
    from earthsignals.plume.real import evaluate_real as judge
    from earthsignals.settings import load_settings
    from earthsignals.storage import read_json, write_json

    params = load_section("plume", PlumeParams)
    net = load_model(model)
    frozen = read_json(REPORTS / "metrics.json").get("frozen", {})
    out = REPORTS / "real.json"
    with tracking.run(
        "plume", "evaluate-real", params.model_dump(mode="json"), load_settings(), kind="evaluation"
    ) as run:
        found = judge(path, net, params, frozen, REPORTS / "real")
        write_json(out, found)
        run.set_tags({k: v for k, v in found.items() if isinstance(v, str)})
        run.log_metrics({k: found[k] for k in ("pixels", "detection", "valid_km2", "plumes")})
        run.log_artifact(out)
    typer.echo(f"{out}: {len(found['chips'])} chips of {found['data']}, {found['plumes']} labelled plumes")
    for name, pixels in found["pixels"].items():
        scores = "  ".join(
            f"{key} {'  none' if pixels[key] is None else f'{pixels[key]:6.3f}'}" for key in ("f1", "iou")
        )
        plumes, false_alarms = (found["detection"][name][key] for key in ("found", "false_alarms"))
        typer.echo(f"  {name:<15} pixels {scores}  plumes {plumes}  false alarms {false_alarms}")


def _winds(texts: list[str], error: float | None) -> list[Any]:
    """`3.5` or `era5=3.5` as winds; unnamed ones are `wind`, `wind2`, ..."""
    from earthsignals.plume.detection.emission import Wind

    winds = []
    for number, text in enumerate(texts, 1):
        name, _, speed = text.rpartition("=")
        try:
            value = float(speed)
            if not 0 < value < 100:
                raise ValueError
            winds.append(Wind(value, error, name or ("wind" if number == 1 else f"wind{number}")))
        except ValueError:
            raise EarthSignalsError(
                f"--wind {text} is no wind speed: give metres per second over 0, e.g. 3.5, or with a name, "
                "e.g. era5=3.5"
            ) from None
    names = [wind.name.lower() for wind in winds]
    if len(set(names)) < len(names):
        raise EarthSignalsError(f"--wind: two winds are named {max(names, key=names.count)}; name them apart")
    return winds


def _is_map(path: Path, flightline: Path) -> None:
    """Refuse a map that is not there or was made of another flightline, before any work."""
    from earthsignals.plume.saliency.mapfile import check_belongs

    if not path.is_file():
        raise EarthSignalsError(
            f"{path}: no such saliency map; leave --saliency away, and it is made from the flightline"
        )
    check_belongs(path, flightline)


def _calibration(model_md5: str, told: bool) -> Any:
    """How rates of this model's plumes compare with known ones, as the project's validation days say."""
    from earthsignals.plume.detection.rate_error import UNCALIBRATED, Calibration
    from earthsignals.storage import read_json

    if not SALIENCY.is_file():
        return UNCALIBRATED
    content = read_json(SALIENCY)
    if not model_md5 or content.get("model_md5") != model_md5:
        return UNCALIBRATED
    found = content["calibration"]
    if told:
        _say(f"rates are calibrated on validation days: times {found['scale']:.3g} ({SALIENCY})")
    return Calibration(found["scale"], found["model_error"])


def _table(scene: Any) -> list[str]:
    """A line per plume, for the eye."""
    count = len(scene.detections)
    lines = [f"{count} plume{'' if count == 1 else 's'} at saliency {scene.threshold:.2f} and above"]
    for plume, rates in zip(scene.detections, scene.rates, strict=True):
        line = f"  {plume.id:>3}  score {plume.score:.2f}  {plume.area_m2:8,.0f} m2"
        for rate in rates:
            if rate.rate_kg_h is not None:
                line += f"  {rate.rate_kg_h:7,.0f} kg/h"
                line += f" ({rate.low_68:,.0f} .. {rate.high_68:,.0f}, {rate.wind_name})"
        lines.append(line)
    return lines


def _say(sentence: str) -> None:
    """To the person, not into a pipe."""
    typer.echo(sentence, err=True)
