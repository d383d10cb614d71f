"""The direct Voigt sum against HAPI, analytic limits and conservation laws."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from scipy import constants
from scipy.special import wofz

from earthsignals.tdlas import voigt
from earthsignals.tdlas.hitran import hapi, partition_sum
from earthsignals.tdlas.lines import LineList, embedded_lines, read_lines
from earthsignals.tdlas.params import GasParams
from earthsignals.tdlas.voigt import (
    Gas,
    absorption_coefficient,
    cross_section,
    doppler_hwhm,
    line_intensity,
    lorentz_hwhm,
    number_density,
)

FULL = GasParams()
STATES = [(253.0, 0.8), (296.0, 1.0), (323.0, 1.1)]
AIR = {"air": 1.0}


def one_line(**changes: float) -> LineList:
    """The strongest line of the default window, with changes."""
    lines = embedded_lines()
    line = lines.select(lines.nu == 4384.374880)
    return LineList(**{**line.__dict__, **{k: np.array([v]) for k, v in changes.items()}})


def hapi_table(lines: LineList, name: str) -> str:
    """Put a list into HAPI's memory as a table of its own, so that no file stands between."""
    columns = {
        "molec_id": "molecule", "local_iso_id": "isotopologue", "nu": "nu", "sw": "intensity",
        "gamma_air": "gamma_air", "gamma_self": "gamma_self", "elower": "lower_energy",
        "n_air": "n_air", "delta_air": "delta_air",
    }  # fmt: skip
    data = {theirs: getattr(lines, ours).tolist() for theirs, ours in columns.items()}
    header = {"table_name": name, "number_of_rows": len(lines)}
    hapi().LOCAL_TABLE_CACHE[name] = {"header": header, "data": data}
    return name


def hapi_voigt(table: str, nu: np.ndarray, t: float, p: float, **options: object) -> np.ndarray:
    """HAPI's Voigt sum without a wing cut; cm2/molecule with HITRAN_units (default), else 1/cm."""
    arguments = {"Diluent": AIR, "HITRAN_units": True, "WavenumberWing": 500.0, **options}
    with contextlib.redirect_stdout(io.StringIO()):
        _, values = hapi().absorptionCoefficient_Voigt(
            SourceTables=table, WavenumberGrid=nu, Environment={"T": t, "p": p}, **arguments
        )
    return values


# ------------------------------------------------------------------------------ HAPI as the oracle
@pytest.mark.parametrize(("low", "high"), [(4383.0, 4386.0), (6046.0, 6048.0)])
def test_pure_air_equals_hapi(low: float, high: float) -> None:
    """Bar: 1e-4 of the peak. Measured: 2e-5, the accuracy of HAPI's own Faddeeva function."""
    lines = embedded_lines().within(low - 1, high + 1)
    table, nu = hapi_table(lines, f"embedded_{low:.0f}"), np.linspace(low, high, 1501)
    for t, p in STATES:
        ours = cross_section(nu, lines, Gas(t, p, 0.0), FULL)
        theirs = hapi_voigt(table, nu, t, p)
        assert np.abs(ours - theirs).max() < 3e-5 * theirs.max()
        # Per centimetre of pure CH4 at air's width: also checks the number density.
        ours, theirs = ours * number_density(t, p), hapi_voigt(table, nu, t, p, HITRAN_units=False)
        assert np.abs(ours - theirs).max() < 3e-5 * theirs.max()


@pytest.mark.parametrize("name", ["CH4_4383_4386", "H2O_6042_6079"])
def test_real_list_read_by_hapi_itself(real_data: Path, tmp_path: Path, name: str) -> None:
    """HAPI reads its own table here, so our parser is judged too."""
    for suffix in (".data", ".header"):
        source = real_data / "tdlas" / f"{name}{suffix}"
        if not source.is_file():
            pytest.skip(f"no real line list {source}: set EARTHSIGNALS_REAL_DATA")
        (tmp_path / source.name).write_bytes(source.read_bytes())
    with contextlib.redirect_stdout(io.StringIO()):
        hapi().db_begin(str(tmp_path))
    lines = read_lines(real_data / "tdlas" / f"{name}.data")
    nu = np.linspace(lines.nu[0], lines.nu[0] + 3.0, 1001)
    for t, p in STATES[::2]:
        ours = cross_section(nu, lines, Gas(t, p, 0.0), FULL)
        theirs = hapi_voigt(name, nu, t, p)
        assert np.abs(ours - theirs).max() < 3e-5 * theirs.max()


def test_hapi_abundance_is_no_mole_fraction() -> None:
    """The course's fault: Components=[(6, 1, x)] with air as the only diluent.

    HAPI divides that abundance by 12CH4's natural 0.98827, though S holds it already: + 1.19 % at any
    x. And air alone leaves out self-broadening, which makes the peak lower: + 1.45 % at 1 %, + 2.5 % at
    5 % together.
    """
    lines = embedded_lines().within(4383, 4386)
    table, nu = hapi_table(lines, "fault"), np.linspace(4384.3, 4384.9, 1201)
    natural = hapi().ISO[(6, 1)][hapi().ISO_INDEX["abundance"]]
    for x, excess in ((1e-4, 0.0119), (0.01, 0.0145), (0.05, 0.0251)):
        options = {"Components": [(6, 1, x)], "HITRAN_units": False}
        course = hapi_voigt(table, nu, 296.0, 1.0, **options)
        right = absorption_coefficient(nu, lines, Gas(296.0, 1.0, x), FULL)
        assert course.max() / right.max() - 1 == pytest.approx(excess, abs=1e-4)
        mixture = hapi_voigt(table, nu, 296.0, 1.0, **options, Diluent={"air": 1 - x, "self": x})
        assert mixture.max() / right.max() == pytest.approx(1 / natural, rel=4e-4)


def test_hapi_scales_the_shift_by_the_air_fraction() -> None:
    """HITRAN's delta_air times P is the shift; HAPI takes only the air's part of P (and no delta_self).

    At x = 5 % that moves lines by 5 % of their shift: 4e-3 of the peak on the flanks. Scaled alike,
    the two agree in the mixture as in pure air, so broadening is the same.
    """
    lines = embedded_lines().within(4383, 4386)
    table, nu, x = hapi_table(lines, "shift"), np.linspace(4383, 4386, 3001), 0.05
    state = Gas(296.0, 1.0, x)
    theirs = x * hapi_voigt(
        table, nu, 296.0, 1.0, HITRAN_units=False, Diluent={"air": 1 - x, "self": x}
    )
    ours = absorption_coefficient(nu, lines, state, FULL)
    assert np.abs(ours - theirs).max() / ours.max() == pytest.approx(4.0e-3, rel=0.05)
    scaled = LineList(**{**lines.__dict__, "delta_air": lines.delta_air * (1 - x)})
    alike = absorption_coefficient(nu, scaled, state, FULL)
    assert np.abs(alike - theirs).max() < 3e-5 * ours.max()


def test_intensity_follows_hapi_and_its_partition_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """With HAPI's value of c2, 1.8e-5 above CODATA's; that alone makes 2.4e-5 in the hottest line."""
    lines = embedded_lines()
    module = hapi()
    codata, hapi_c2 = voigt.C2, 1.4388028496642257
    assert codata == pytest.approx(1.438776877, rel=1e-9)
    monkeypatch.setattr(voigt, "C2", hapi_c2)
    for t in (253.0, 323.0):
        sums = [partition_sum(6, 1, t), partition_sum(6, 1, 296.0)]
        with contextlib.redirect_stdout(io.StringIO()):
            assert sums == [module.partitionSum(6, 1, t), module.partitionSum(6, 1, 296.0)]
        theirs = [
            module.EnvironmentDependency_Intensity(s, t, 296.0, *sums, e, nu)
            for s, e, nu in zip(lines.intensity, lines.lower_energy, lines.nu, strict=True)
        ]
        np.testing.assert_allclose(line_intensity(lines, t), theirs, rtol=1e-12)
    np.testing.assert_allclose(line_intensity(lines, 296.0), lines.intensity, rtol=1e-14)
    # Stimulated emission at 4384 cm-1 is exp(-21): only far infrared lines would show it.
    far = one_line(nu=20.0, lower_energy=0.0)
    plain = far.intensity * sums[1] / sums[0]
    by_hand = np.expm1(-voigt.C2 * 20 / 323.0) / np.expm1(-voigt.C2 * 20 / 296.0)
    np.testing.assert_allclose(line_intensity(far, 323.0) / plain, by_hand, rtol=1e-12)
    assert by_hand == pytest.approx(296 / 323, rel=0.005)  # Rayleigh-Jeans


# ------------------------------------------------------------------------------ analytic limits
def test_area_of_a_line_is_its_strength() -> None:
    """The integral over all wavenumbers is S(T) n x, whatever the widths."""
    line, state = one_line(), Gas(273.0, 0.9, 0.02)
    # Points crowd at the centre: nu - c = w tan(theta) spreads a Lorentzian evenly over theta.
    centre, width = line.nu[0] + line.delta_air[0] * 0.9, 0.06
    theta = (np.arange(20_000) + 0.5) / 20_000 * np.pi - np.pi / 2
    nu = centre + width * np.tan(theta)
    step = width / np.cos(theta) ** 2 * np.pi / 20_000
    area = np.sum(absorption_coefficient(nu, line, state, FULL) * step)
    expected = line_intensity(line, 273.0)[0] * number_density(273.0, 0.9) * 0.02
    assert area == pytest.approx(expected, rel=1e-6)


def test_doppler_limit_without_collisions() -> None:
    line = one_line(gamma_air=0.0, gamma_self=0.0)
    half = doppler_hwhm(line, 296.0)[0]
    kg = 16.0313e-3 / constants.N_A
    sigma = line.nu[0] * np.sqrt(constants.k * 296.0 / kg) / constants.c
    assert half == pytest.approx(sigma * np.sqrt(2 * np.log(2)), rel=1e-5)
    offset = np.linspace(-4, 4, 81) * sigma
    own = cross_section(line.nu[0] + line.delta_air[0] + offset, line, Gas(296.0, 1.0, 0.0), FULL)
    gauss = np.exp(-0.5 * (offset / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(own, line.intensity[0] * gauss, rtol=1e-5)


def test_lorentz_limit_in_the_wing() -> None:
    line, state = one_line(), Gas(296.0, 1.0, 0.0)
    g, a = line.gamma_air[0], doppler_hwhm(line, 296.0)[0] / np.sqrt(np.log(2))
    for offset in (1.0, 5.0):
        own = cross_section(line.nu + line.delta_air + offset, line, state, FULL)[0]
        lorentz = line.intensity[0] * g / np.pi / (offset**2 + g**2)
        # The first Doppler correction to the wing is 1 + 3 a^2 / (2 offset^2).
        assert own / lorentz == pytest.approx(1 + 1.5 * (a / offset) ** 2, rel=1e-6)


def test_shift_and_width_by_hand() -> None:
    line = one_line()
    state = Gas(253.0, 0.8, 0.05)
    expected = (296 / 253) ** 0.78 * 0.8 * (0.95 * 0.0646 + 0.05 * 0.079)
    assert lorentz_hwhm(line, state, 1.3)[0] == pytest.approx(expected, rel=1e-14)
    nu = np.linspace(4384.36, 4384.39, 30_001)
    peak = nu[np.argmax(cross_section(nu, line, state, FULL))]
    assert peak == pytest.approx(4384.374880 - 0.003690 * 0.8, abs=1e-6)


def test_number_density_is_loschmidt() -> None:
    loschmidt = constants.value("Loschmidt constant (273.15 K, 101.325 kPa)") * 1e-6
    assert number_density(273.15, 1.0) == pytest.approx(loschmidt, rel=1e-10)


def test_far_wing_form_equals_the_faddeeva_function() -> None:
    """Beyond 40 Doppler widths the rational form differs by less than 1e-11, for any collision width."""
    for y in (1e-3, 0.1, 1.0, 10.0):
        x = np.concatenate([[-1e4], np.linspace(40.0, 200.0, 500)])
        rational = voigt._voigt(x, 1.0, y)
        exact = wofz(x + 1j * y).real / np.sqrt(np.pi)
        np.testing.assert_allclose(rational, exact, rtol=1e-11)


# ------------------------------------------------------------------------------ mixtures
def test_methane_broadens_itself_more_than_air_does() -> None:
    line = one_line()
    nu = line.nu + line.delta_air  # the centre
    dilute, rich = (cross_section(nu, line, Gas(296.0, 1.0, x), FULL)[0] for x in (1e-6, 0.05))
    gain = 0.05 * (0.079 / 0.0646 - 1)  # of the Lorentz width
    assert rich < dilute
    # Pressure-broadened almost wholly: the peak falls nearly as the width grows.
    assert 1 - rich / dilute == pytest.approx(gain, rel=0.15)


def test_water_broadens_and_absorbs(real_data: Path) -> None:
    source = real_data / "tdlas" / "H2O_6042_6079.data"
    if not source.is_file():
        pytest.skip(f"no real water list {source}: set EARTHSIGNALS_REAL_DATA")
    methane = embedded_lines().within(6045, 6049)
    water = read_lines(source)
    both = LineList(
        *(np.concatenate([getattr(methane, n), getattr(water, n)]) for n in voigt.LineList.__annotations__
          if n != "edition")
    )  # fmt: skip
    nu = np.linspace(6046, 6048, 801)
    wet, dry = Gas(296.0, 1.0, 1e-4, water=0.02), Gas(296.0, 1.0, 1e-4)
    sum_of_parts = absorption_coefficient(nu, methane, wet, FULL) + absorption_coefficient(
        nu, water, wet, FULL
    )
    np.testing.assert_allclose(absorption_coefficient(nu, both, wet, FULL), sum_of_parts, rtol=1e-12)
    assert (absorption_coefficient(nu, water, wet, FULL) > 0).all()
    np.testing.assert_array_equal(
        absorption_coefficient(nu, both, dry, FULL), absorption_coefficient(nu, methane, dry, FULL)
    )
    # 2 % water with 1.3 times air's broadening widens CH4 lines by 0.6 %, the rest being air.
    ratio = lorentz_hwhm(methane, wet, 1.3) / lorentz_hwhm(methane, dry, 1.3)
    np.testing.assert_allclose(ratio, 1.006, rtol=1e-4)
    assert (lorentz_hwhm(methane, wet, 1.0) == pytest.approx(lorentz_hwhm(methane, dry, 1.0)))


# ------------------------------------------------------------------------------ wing policies
def test_wing_policies_at_the_cut() -> None:
    """"cut" jumps by the wing's value at the cut-off, "cut-pedestal" does not."""
    line, state, cutoff = one_line(), Gas(296.0, 1.0, 0.0), 1.0
    edge = line.nu[0] + line.delta_air[0] + cutoff
    nu = np.array([edge - 1e-9, edge + 1e-9])
    full = cross_section(nu, line, state, FULL)
    cut, pedestal = (
        cross_section(nu, line, state, GasParams(wing_policy=policy, wing_cutoff=cutoff))
        for policy in ("cut", "cut-pedestal")
    )
    assert cut[0] == full[0] and cut[1] == 0
    assert pedestal[0] == pytest.approx(0, abs=1e-8 * full[0]) and pedestal[1] == 0
    inside = line.nu
    lost = cross_section(inside, line, state, FULL) - cross_section(
        inside, line, state, GasParams(wing_policy="cut-pedestal", wing_cutoff=cutoff)
    )
    assert lost[0] == pytest.approx(full[0], rel=1e-6)  # the pedestal is the same everywhere inside


def test_a_cut_beyond_all_lines_is_no_cut() -> None:
    lines, nu = embedded_lines().within(4383, 4386), np.linspace(4383, 4386, 501)
    wide = GasParams(wing_policy="cut", wing_cutoff=25.0)
    state = Gas(296.0, 1.0, 0.01)
    np.testing.assert_array_equal(
        cross_section(nu, lines, state, wide), cross_section(nu, lines, state, FULL)
    )
