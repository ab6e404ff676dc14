"""A benchmark as text."""

from collections.abc import Sequence

from mmseg_g4seg.evaluation.rows import aligned

from .results import PathCost, Report
from .stages import STAGES


def format_report(report: Report) -> str:
    """Writes all figures of a report, in blocks of aligned columns."""
    blocks = [_head(report), _times(report), _flops(report), _pairs(report), _passes(report), _comparisons(report)]
    return '\n\n'.join(block for block in blocks if block)


def align(rows: Sequence[Sequence[str]]) -> str:
    """Aligns cells in columns, the first to the left and the others to the right."""
    return '\n'.join(aligned(rows, '  '))


def _head(report: Report) -> str:
    setting = report.setting
    millions = ', '.join(f'{name} {count / 1e6:.1f} M' for name, count in report.parameters.items())
    return '\n'.join(
        [
            f'{setting["architecture"]}, {setting["size"]}x{setting["size"]}, {setting["dtype"]}, '
            f'features: {setting["features"]}, up to {setting["passes_per_batch"]} classes a pass',
            f'{setting["device_name"]}; torch {setting["torch"]}; load average at the start {setting["load_average"]}',
            f'parameters: {millions}',
            f'matrix products: {report.matrix_rate / 1e9:.1f} GFLOP/s measured',
            f'memory: {setting["memory"]}',
        ]
    )


def _times(report: Report) -> str:
    head = ['K', 'path', 'ms/image', 'ms/class', *(f'{stage} ms' for stage in STAGES), 'images/s', 'peak MB', 'runs']
    rows = [head]
    for cost in report.paths:
        total = cost.total_seconds
        stages = [_ms(cost.seconds[stage]) for stage in STAGES]
        peak = '-' if cost.peak_bytes is None else f'{cost.peak_bytes / 1e6:.0f}'
        per_class = _ms(total / cost.classes)
        rows.append(
            [str(cost.classes), cost.path, _ms(total), per_class, *stages, f'{1 / total:.3g}', peak, str(cost.runs)]
        )
    return 'Time of one image, split by stage (prompts known from earlier images, but in the loop)\n' + align(rows)


def _flops(report: Report) -> str:
    rows = [['K', 'path', 'GFLOP/image', *STAGES[:-1], 'share of rate', *(f'{stage} share' for stage in STAGES[:-1])]]
    for cost in report.paths:
        flops = [f'{cost.flops[stage] / 1e9:.1f}' for stage in STAGES[:-1]]
        shares = [_share(cost, report.matrix_rate, stage) for stage in STAGES[:-1]]
        overall = f'{cost.total_flops / cost.total_seconds / report.matrix_rate:.0%}'
        rows.append([str(cost.classes), cost.path, f'{cost.total_flops / 1e9:.1f}', *flops, overall, *shares])
    return 'FLOPs, and the share of the measured matrix rate that they ran at\n' + align(rows)


def _share(cost: PathCost, rate: float, stage: str) -> str:
    if not cost.flops[stage]:
        return '-'
    return f'{cost.flops[stage] / cost.seconds[stage] / rate:.0%}'


def _pairs(report: Report) -> str:
    if not report.pairs:
        return ''
    head = ['K', 'path', 'batched is', 'without decoding', 'equal labels', 'largest difference', 'refined labels']
    rows = [
        [
            str(pair.classes),
            pair.path,
            f'{pair.speedup:.2f}x as fast',
            f'{pair.speedup_without_decoding:.2f}x',
            f'{pair.equal_labels:.3%}',
            f'{pair.largest_difference:.1e}',
            f'{pair.changed_labels:.2%}',
        ]
        for pair in report.pairs
    ]
    return 'Beside the batched path (refined labels: share of pixels whose label it changes)\n' + align([head, *rows])


def _passes(report: Report) -> str:
    rows = [['K', 'text cold ms', 'text warm ms', 'images a pass', 'plain ms', 'injected ms', 'injection', 'its FLOPs']]
    injection = {cost.classes: cost for cost in report.injection}
    for text in report.text:
        row = [str(text.classes), _ms(text.cold_seconds), _ms(text.warm_seconds)]
        cost = injection.get(text.classes)
        if cost is None:
            rows.append([*row, *['-'] * 5])
            continue
        extra = cost.injected_flops / cost.plain_flops - 1
        times = [_ms(cost.plain_seconds), _ms(cost.injected_seconds), f'{cost.overhead:+.1%}', f'{extra:+.1%}']
        rows.append([*row, str(cost.images), *times])
    return 'Text encoders, and one pass of the denoiser without and with masks\n' + align(rows)


def _comparisons(report: Report) -> str:
    if not report.comparisons:
        return ''
    rows = [['K', 'refiner', 'ms/image', 'ms/class', 'runs']]
    for cost in report.comparisons:
        if cost.seconds is None:
            rows.append([str(cost.classes), cost.name, '-', '-', cost.missing or ''])
            continue
        times = [_ms(cost.seconds), _ms(cost.seconds / cost.classes)]
        rows.append([str(cost.classes), cost.name, *times, str(cost.runs)])
    return 'Other refiners on the same masks\n' + align(rows)


def _ms(seconds: float) -> str:
    """Milliseconds, one decimal below 100."""
    return f'{seconds * 1e3:.1f}' if seconds < 0.1 else f'{seconds * 1e3:.0f}'
