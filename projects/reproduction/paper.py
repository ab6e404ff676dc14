"""The figures that G4Seg's authors report (arXiv 2506.01539), and what of this project gives each.

Figures are mIoU in per cent unless a row says otherwise. Table X has none; what the paper has outside its tables goes
by its subject.
"""

from .records import ConfigRun, Row, Table
from .weak_labels import ABLATION, INJECTION, INVERSION, PRIORS, SEEDS
from .zero_shot import OTHER_MODELS, OTHER_REFINERS, TEXT_SUPERVISED

SEGFORMER_ADE = (
    'segformer/segformer_mit-b1_512x512_160k_ade20k/segformer_mit-b1_512x512_160k_ade20k_20210726_112106-d70e859d.pth'
)
MASK2FORMER_ADE = 'mask2former/mask2former_r50_8xb2-160k_ade20k-512x512/mask2former_r50_8xb2-160k_ade20k-512x512_20221204_000055-2d1f55f1.pth'  # noqa: E501
SEGFORMER_CITY = 'segformer/segformer_mit-b5_8x1_1024x1024_160k_cityscapes/segformer_mit-b5_8x1_1024x1024_160k_cityscapes_20211206_072934-87a052ec.pth'  # noqa: E501
DEEPLAB_CITY = 'deeplabv3plus/deeplabv3plus_r101-d8_512x1024_80k_cityscapes/deeplabv3plus_r101-d8_512x1024_80k_cityscapes_20200606_114143-068fcfe9.pth'  # noqa: E501
MASK2FORMER_CITY = 'mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024/mask2former_r50_8xb2-90k_cityscapes-512x1024_20221202_140802-ffd9d750.pth'  # noqa: E501

_PRINTED = 'every run of tools/test.py prints it for its own masks'
BY_IOU = {
    'G4Seg': ("I --rows 'SCLIP, VOC'", (0.2, 1.9, 1.1)),
    'G4Seg with ControlNet': ("VIII --rows 'CLIP-ES, VOC'", (0.75, 4.2, 4.1)),
    'CascadePSP': ("XI --rows 'SCLIP, VOC: CascadePSP'", (0.2, 1.5, 1.0)),
}
"""A run that prints the gain by initial IoU, and the paper's figures for 0 to 40, 40 to 80 and 80 to 100 per cent."""


def _chains(
    name: str, config: str, weights: str, *, coarse: float | None = None, refined: float | None = None
) -> tuple[Row, ...]:
    """A coarse model with G4Seg, which the paper may have, and with the chains, which it has not."""
    return (
        Row(name, coarse, refined, ConfigRun(f'{config}_g4seg.py', weights)),
        Row(f'{name}, then dense CRF', coarse, None, ConfigRun(f'{config}_g4seg-crf.py', weights)),
        Row(f'{name}, then CascadePSP', coarse, None, ConfigRun(f'{config}_g4seg-cascadepsp.py', weights)),
    )


TABLES: dict[str, Table] = {
    'text-supervised': Table(
        'open-vocabulary masks of text-supervised models',
        TEXT_SUPERVISED,
        'I',
    ),
    'weakly-supervised': Table('seeds of weakly supervised methods, VOC12 train, and COCO-Object besides', SEEDS, 'II'),
    'ablation': Table('the parts of the method, CLIP-ES', ABLATION, 'III'),
    'inversion': Table('null-text inversion in place of one noised step', INVERSION, 'IV'),
    'supervised': Table(
        'supervised models and panoptic masks on ADE20K',
        (
            *_chains('SegFormer-B1', 'segformer/segformer_mit-b1_ade20k', SEGFORMER_ADE, coarse=42.2, refined=42.9),
            *_chains(
                'Mask2Former-R50', 'mask2former/mask2former_r50_ade20k', MASK2FORMER_ADE, coarse=47.2, refined=47.8
            ),
            Row('ODISE', 22.4, 23.0, lacks="ODISE's predictions; the README has the command", metric='PQ'),
        ),
        'V',
    ),
    'night': Table(
        'night scenes: NightCity-fine in the paper; models trained on Cityscapes besides',
        (
            *_chains('DTP, NightCity-fine', 'dtp/dtp_nightcity-fine', '', coarse=64.0, refined=64.5),
            *(
                row
                for data, folder in (('NightCity', 'nightcity'), ('NightCity-fine', 'nightcity-fine'))
                for name, config, weights in (
                    ('SegFormer-B5', 'segformer/segformer_mit-b5', SEGFORMER_CITY),
                    ('DeepLabV3+-R101', 'deeplabv3plus/deeplabv3plus_r101', DEEPLAB_CITY),
                    ('Mask2Former-R50', 'mask2former/mask2former_r50', MASK2FORMER_CITY),
                )
                for row in _chains(f'{name}, Cityscapes to {data}', f'{config}_cityscapes_{folder}', weights)
            ),
        ),
        'VI',
    ),
    'refiners': Table(
        'other refiners on masks of CLIP',
        OTHER_REFINERS,
        'XI',
    ),
    'other-models': Table('models of other kinds, p. XI of the paper', OTHER_MODELS),
    'injection': Table('ControlNet in place of injection into attention', INJECTION, 'VIII'),
    'priors': Table('the diffusion model, CLIP-ES', PRIORS, 'IX'),
    'initial-iou': Table(
        'gain by the initial IoU of the mask',
        tuple(
            Row(
                f'{refiner}, masks from {share}',
                None,
                gain,
                lacks=f'{_PRINTED}: python -m projects.reproduction {run}',
                metric='gain',
            )
            for refiner, (run, gains) in BY_IOU.items()
            for share, gain in zip(('0 to 40', '40 to 80', '80 to 100'), gains, strict=True)
        ),
        'VII',
    ),
    'cost': Table(
        'seconds a mask on an RTX 3090, the lower of the two figures given',
        (
            Row('single-step noising', None, 1.1, lacks=_PRINTED, metric='seconds'),
            Row('null-text inversion', None, 5.2, lacks=f'{_PRINTED}, with NullTextInversion', metric='seconds'),
        ),
    ),
}


def find_rows(table: Table, part: str) -> list[Row]:
    """Rows whose name has a text in it.

    Raises:
        ValueError: if there is none; lists those that there are.
    """
    rows = [row for row in table.rows if part in row.name]
    if not rows:
        known = '\n'.join(f'  {row.name}' for row in table.rows)
        raise ValueError(f'rows: expected a part of one of these names, got {part!r}\n{known}')
    return rows


def find_table(name: str) -> Table:
    """Finds a table by subject or number.

    Raises:
        ValueError: if there is none of that name; lists those that there are.
    """
    by_number = {table.number: table for table in TABLES.values() if table.number}
    table = TABLES.get(name) or by_number.get(name.upper())
    if table is None:
        known = ', '.join(key + (f' ({table.number})' if table.number else '') for key, table in TABLES.items())
        raise ValueError(f'table: expected one of {known}, got {name!r}')
    return table
