"""Counts what CONTRIBUTING.md asks of the code: python .ci/style.py prints the figures, and exits with 1 if one fails.

Lengths are of code: a function's docstring does not count. Comments are those that a reader sees, not the tools'.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = ('ops', 'diffusion', 'features', 'refiners', 'coarse', 'registry.py', 'prediction.py')
LONGEST_MODULE, LONGEST_FUNCTION, MOST_OPTIONS = 250, 40, 10
LEAST_COMMENTS, LEAST_SHAPES = 4.0, 95.0
FOR_TOOLS = re.compile(r'#\s*(noqa|type:|fmt:|pragma)')
DIM = r"(?:\.\.\.|[A-Za-z0-9_']{1,10}(?: ?[*+/-] ?[A-Za-z0-9_']{1,10})*)"
SHAPE = re.compile(rf'\({DIM}(?:,|(?:, {DIM})+)\)')
"""(B, heads, Q, d), (K,), (..., H, W)"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(*folders: str) -> list[Path]:
    """Python files of some folders, without tests and configs."""
    found = [p for folder in folders for p in (ROOT / folder).rglob('*.py')]
    # of the path below the clone: in a clone under .../tests/ nothing would be counted
    return sorted(p for p in found if not {'tests', 'configs'} & set(p.relative_to(ROOT).parts))


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def code_lines(function: Function) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if _is_docstring(first):
        lines -= (first.end_lineno or 0) - first.lineno + 1
    return lines


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def options(cls: ast.ClassDef) -> int:
    """What may be said of a class: arguments of `from_config`, else of the constructor; defaults of a dataclass."""
    methods = {node.name: node for node in cls.body if isinstance(node, Function)}
    maker = methods.get('from_config') or methods.get('__init__')
    if maker is not None:
        return len([*maker.args.posonlyargs, *maker.args.args, *maker.args.kwonlyargs]) - 1
    decorated = any('dataclass' in ast.unparse(decorator) for decorator in cls.decorator_list)
    return sum(isinstance(node, ast.AnnAssign) and node.value is not None for node in cls.body) if decorated else 0


def comment_share(paths: list[Path]) -> float:
    """Comments in 100 lines of code, blank lines and docstrings left out."""
    comments = lines = 0
    for path in paths:
        text = path.read_text()
        found = [node for node in ast.walk(ast.parse(text)) if _is_docstring(node)]
        documented = {line for node in found for line in range(node.lineno, (node.end_lineno or 0) + 1)}
        lines += sum(bool(line.strip()) and i not in documented for i, line in enumerate(text.splitlines(), start=1))
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        comments += sum(t.type == tokenize.COMMENT and not FOR_TOOLS.match(t.string) for t in tokens)
    return 100 * comments / lines


def without_shapes(paths: list[Path]) -> tuple[list[str], int]:
    """Public functions with tensors whose docstring, or that of what they override, names no shape; and of how many."""
    trees = {path: ast.parse(path.read_text()) for path in paths}
    documented: dict[str, bool] = {}
    for tree in trees.values():
        for function in functions(tree):
            documented[function.name] = documented.get(function.name, False) or _has_shape(function)
    found, count = [], 0
    for path, tree in trees.items():
        inner = {f for outer in functions(tree) for f in functions(outer) if f is not outer}
        for function in functions(tree):
            is_private = function in inner or (function.name.startswith('_') and function.name != '__call__')
            if is_private or not _has_tensors(function):
                continue
            count += 1
            # a method without words of its own takes those of the one that it overrides
            inherited = ast.get_docstring(function) is None and documented[function.name]
            if not (inherited or _has_shape(function)):
                found.append(f'{path.relative_to(ROOT)}:{function.lineno} {function.name}')
    return found, count


def _has_tensors(function: Function) -> bool:
    hints = [*(a.annotation for a in [*function.args.args, *function.args.kwonlyargs]), function.returns]
    return any(re.search(r'\b(Tensor|ndarray)\b', ast.unparse(hint)) for hint in hints if hint is not None)


def _has_shape(function: Function) -> bool:
    return bool(SHAPE.search(ast.get_docstring(function) or ''))


def main() -> int:
    everything, package = modules('mmseg_g4seg', 'projects', 'tools'), modules('mmseg_g4seg')
    core = [p for p in package if p.relative_to(ROOT / 'mmseg_g4seg').parts[0] in CORE]
    trees = {path: ast.parse(path.read_text()) for path in everything}
    long_modules = [
        f'{p.relative_to(ROOT)} ({n})' for p in everything if (n := len(p.read_text().splitlines())) > LONGEST_MODULE
    ]
    lengths = {
        f'{p.relative_to(ROOT)}:{f.lineno} {f.name}': code_lines(f) for p in everything for f in functions(trees[p])
    }
    counts = {
        f'{p.relative_to(ROOT)} {c.name}': options(c)
        for p in everything
        for c in ast.walk(trees[p])
        if isinstance(c, ast.ClassDef) and not c.name.startswith('_')
    }
    shapeless, with_tensors = without_shapes(package)
    comments, shapes = comment_share(core), 100 * (1 - len(shapeless) / with_tensors)
    faults = {
        f'modules over {LONGEST_MODULE} lines': long_modules,
        f'functions over {LONGEST_FUNCTION} lines': [f'{n} ({v})' for n, v in lengths.items() if v > LONGEST_FUNCTION],
        f'classes over {MOST_OPTIONS} options': [f'{n} ({v})' for n, v in counts.items() if v > MOST_OPTIONS],
        f'comments in 100 lines of the core, {comments:.1f}': [] if comments >= LEAST_COMMENTS else ['too few'],
        f'functions with tensors that name shapes, {shapes:.1f} %': [] if shapes >= LEAST_SHAPES else shapeless,
    }
    ordered = sorted(lengths.values())
    print(f'{len(everything)} modules, {len(ordered)} functions: median {ordered[len(ordered) // 2]} lines')
    for what, found in faults.items():
        print(f'{what}: {len(found) or "none"}' if 'over' in what else what)
        for entry in found:
            print(f'  {entry}')
    return 1 if any(faults.values()) else 0


if __name__ == '__main__':
    sys.exit(main())
