"""The pipelines, one line each: the order in which people meet them."""

PIPELINES = {
    "tdlas": "Methane from laser absorption: HITRAN lines → scans → mole fraction with interval.",
    "plume": "Methane plumes in airborne imagery: flightlines → exact saliency → plumes and kg/h.",
    "seismic": "Seismic waveforms: three components → spectrograms → reconstruction, denoising, embedding.",
    "clouds": "Cloud organisation from satellites: scenes → triplets → embeddings, maps, neighbours.",
    "superdarn": "Ionospheric drift from SuperDARN radars: records → grids → forecasts with skill.",
}
