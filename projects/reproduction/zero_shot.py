"""Tables I and XI: masks from text alone, and what G4Seg and other refiners make of them; and data sets besides.

The paper's MaskCLIP and GroupViT figures are those of runs with a background whose rule it does not say.
"""

from .records import ConfigRun, Row

PAPER_SETS = {'VOC': 'voc21', 'Pascal Context': 'context60', 'COCO-Object': 'coco-object'}
OTHER_SETS = {
    'VOC without background': 'voc20',
    'Pascal Context without background': 'context59',
    'Cityscapes': 'cityscapes',
    'ADE20K': 'ade20k',
}
SOURCES = {
    'SCLIP': 'sclip/sclip_vit-b16',
    'MaskCLIP': 'maskclip/maskclip_vit-b16',
    'GroupViT': 'groupvit/groupvit_gcc-yfcc',
}
FIGURES = {
    ('SCLIP', 'VOC'): (59.1, 59.8),
    ('SCLIP', 'Pascal Context'): (30.4, 31.3),
    ('SCLIP', 'COCO-Object'): (30.5, 30.9),
    ('GroupViT', 'VOC'): (52.3, 53.4),
    ('GroupViT', 'Pascal Context'): (22.4, 23.9),
    ('GroupViT', 'COCO-Object'): (20.9, 22.1),
    # Table I has no refined MaskCLIP, Table XI has two
    ('MaskCLIP', 'VOC'): (38.8, 39.4),
    ('MaskCLIP', 'Pascal Context'): (23.6, 24.1),
    ('MaskCLIP', 'COCO-Object'): (20.1, None),
}
"""Coarse and refined."""
REFINERS = {
    'G4Seg': ('g4seg', (59.8, 31.3, 39.4, 24.1)),
    'SegRefiner': ('segrefiner', (59.3, 30.7, 39.1, 23.9)),
    'CascadePSP': ('cascadepsp', (59.5, 30.9, 39.2, 23.8)),
    'dense CRF': ('crf', (60.9, 31.2, 39.9, 24.2)),
    'G4Seg, then CascadePSP': ('g4seg-cascadepsp', (60.1, 31.6, 39.5, 24.3)),
    'G4Seg, then dense CRF': ('g4seg-crf', (62.1, 32.0, 40.1, 24.6)),
}
"""End of the config's name, and the figures of SCLIP on VOC and Context, then of MaskCLIP."""
COMPARED = [(source, data) for source in ('SCLIP', 'MaskCLIP') for data in ('VOC', 'Pascal Context')]


def _row(source: str, data: str, refiner: str, refined: float | None) -> Row:
    coarse, _ = FIGURES.get((source, data), (None, None))
    config = f'{SOURCES[source]}_{ {**PAPER_SETS, **OTHER_SETS}[data] }_{REFINERS[refiner][0]}.py'
    name = f'{source}, {data}' if refiner == 'G4Seg' else f'{source}, {data}: {refiner}'
    return Row(name, coarse, refined, ConfigRun(config))


def _attention(method: str, data: str, coarse: float | None, refined: float | None) -> Row:
    config = f'seediff/{method.lower()}_sd21_{PAPER_SETS[data]}_g4seg.py'
    return Row(f'{method}, {data}', coarse, refined, ConfigRun(config))


TEXT_SUPERVISED = (
    *(_row(source, data, 'G4Seg', FIGURES[source, data][1]) for source in SOURCES for data in PAPER_SETS),
    _attention('DiffSegmenter', 'VOC', 60.1, 60.6),
    _attention('DiffSegmenter', 'Pascal Context', 27.5, 28.1),
    _attention('DiffSegmenter', 'COCO-Object', 37.9, 38.5),
    _attention('SeeDiff', 'VOC', None, None),
    *(_row(source, data, 'G4Seg', None) for source in SOURCES for data in OTHER_SETS),
)
_SAVED = "scores of {}'s own code, for SavedScoresSegmentor"
OTHER_MODELS = tuple(
    Row(f'{model}, {data}', coarse, refined, lacks=_SAVED.format(model))
    for model, data, coarse, refined in (
        ('OVAM', 'VOC', 61.2, 62.1),
        ('OVAM', 'Pascal Context', 28.3, 28.9),
        ('DeOP', 'VOC', 91.7, 92.1),
        ('DeOP', 'Pascal Context', 48.8, 49.3),
    )
)
OTHER_REFINERS = (
    *(
        _row(source, data, refiner, figures[i])
        for i, (source, data) in enumerate(COMPARED)
        for refiner, (_, figures) in REFINERS.items()
    ),
    *(
        _row('GroupViT', data, refiner, None)
        for data in ('VOC', 'Pascal Context')
        for refiner in REFINERS
        if refiner != 'G4Seg'
    ),
)
