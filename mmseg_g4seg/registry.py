"""The one registry: a part that configs name by `type` is a class and a decorator, in its own file, nothing else.

    @register
    class CorrespondenceUpdate(Update):
        def __init__(self, *, beta: float = 0.8) -> None: ...

    build(dict(type='CorrespondenceUpdate', beta=0.9), Update)

Configs nest as the objects do: a dict with a `type` among a part's options is built first. What the
constructor takes is what a config may say; where a config says it otherwise (a file in place of a network),
the class has a classmethod `from_config`, whose arguments count in the constructor's place.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

PART = TypeVar('PART')
CLASS = TypeVar('CLASS', bound=type)

NUMBER = (int, float)

_PARTS: dict[str, type] = {}


def register(cls: CLASS) -> CLASS:
    """Class decorator: lets configs name the class by its own name.

    Raises:
        ValueError: if another class has that name.
    """
    known = _PARTS.setdefault(cls.__name__, cls)
    # a module that is reloaded, or a notebook's cell that is run twice, defines its class anew
    if known is not cls and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f'{cls.__name__}: {known.__module__} has a part of this name, too')
    _PARTS[cls.__name__] = cls
    return cls


def names_of(kind: type) -> list[str]:
    """Names of the registered parts of a kind."""
    return sorted(name for name, cls in _PARTS.items() if issubclass(cls, kind))


def parts_of(kind: type[PART]) -> list[type[PART]]:
    """The registered parts of a kind, in the order of their names."""
    return [_PARTS[name] for name in names_of(kind)]


def types_in(config: Any) -> list[type]:
    """Classes of the parts that a config names, at any depth; a process that gets them can build it."""
    if isinstance(config, Mapping):
        own = [_PARTS[name]] if isinstance(name := config.get('type'), str) and name in _PARTS else []
        config = list(config.values())
    else:
        own = []
    inner = config if isinstance(config, (list, tuple)) else ()
    return [*own, *(cls for value in inner for cls in types_in(value))]


def build(config: Any, kind: type[PART], *, where: str = '') -> PART:
    """Builds a part, and the parts inside it.

    Args:
        config: `dict(type=NAME, **options)`; a built part passes through.
        kind: base class that the part must have.
        where: place of the config, such as `refiner.update`, for messages.

    Raises:
        ValueError: if there is no such part, if it is of another kind, or has no such option; names the place
            and the nearest name. Raised before anything is built, so that a misspelt word costs no loading.
    """
    where = where or kind.__name__.lower()
    if isinstance(config, kind):
        return config
    config = without_scopes(config)
    # the whole tree first: `sharpnes` in the last line of a chain should not cost the loading of the first prior
    check_config(config, where, kind)
    part = _build(config)
    if not isinstance(part, kind):
        raise ValueError(f'{where}: expected one of {names_of(kind)}, got a {type(part).__name__}')
    return part


def without_scopes(config: Any) -> Any:
    """A config without `_scope_`, which mmengine adds to what a config takes from a base of a package, at any depth.

    A part is found by its name alone, and has no such option.
    """
    if isinstance(config, Mapping):
        return {name: without_scopes(value) for name, value in config.items() if name != '_scope_'}
    if type(config) in (list, tuple):
        return type(config)(map(without_scopes, config))
    return config


def check_config(config: Any, where: str, kind: type = object) -> None:
    """Checks the names in a config, and in those inside it, without building anything; see `build`."""
    if not isinstance(config, Mapping):
        raise ValueError(f'{where}: expected dict(type=..., ...), got {config!r}')
    name = config.get('type')
    if name not in _PARTS:
        raise ValueError(f'{where}: there is no part {name!r}{_nearest(str(name), names_of(kind))}')
    options = {option: value for option, value in config.items() if option != 'type'}
    _check_options(_PARTS[name], options, where)
    for option, value in options.items():
        for place, inner in _inner_configs(value, f'{where}.{option}'):
            check_config(inner, place)
    # what is loaded by name is no part, but a misspelt word in it costs as much
    check = getattr(_PARTS[name], 'check_options', None)
    if check is not None:
        check(options, where)


def call_with_options(function: Callable[..., PART], options: Mapping[str, Any], what: str) -> PART:
    """Calls a function with options from a config, whose names are checked first.

    Raises:
        ValueError: if it has no such option, or one is missing; names the nearest.
    """
    check_option_names(function, options, what)
    return function(**options)


def check_option_names(function: Callable[..., Any], options: Mapping[str, Any], what: str, hint: str = '') -> None:
    """Raises ValueError unless a function takes these options and needs no others.

    Args:
        function: whose signature counts.
        options: by name.
        what: has these options, for messages.
        hint: for the message about an option that is not known; the nearest names when not given.
    """
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    unknown = next((name for name in options if name not in parameters), None)
    if unknown is not None:
        raise ValueError(f'{what} has no option {unknown!r}{hint or _nearest(unknown, list(parameters))}')
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in options]
    if missing:
        raise ValueError(f'{what}: expected the option {missing[0]!r}, which is missing')


def expect_part(name: str, value: Any, kind: type[PART]) -> PART:
    """Gives a constructor's argument back if it is a part of a kind.

    Raises:
        ValueError: if it is something else; a dict without `type` is what an override alone leaves of a part.
    """
    if isinstance(value, kind):
        return value
    got = 'a dict without type' if isinstance(value, Mapping) else f'a {type(value).__name__}'
    raise ValueError(f'{name}: expected a part of {names_of(kind)}, got {got}')


def expect_option(
    name: str, value: Any, kind: Any, expected: str, *, holds: Callable[[Any], bool] | None = None
) -> Any:
    """Gives a constructor's argument back if it is of a type and in its range; configs are written by hand.

    Args:
        name: of the option, for the message.
        value: given.
        kind: type, or tuple of types; bool is no number.
        expected: the words of the message.
        holds: the range.

    Raises:
        ValueError: if it is not.
    """
    fits = isinstance(value, kind) and (isinstance(value, bool) is (kind is bool))
    if not fits or (holds is not None and not holds(value)):
        raise ValueError(f'{name}: expected {expected}, got {value!r}')
    return value


def expect_integers(
    name: str, values: Any, expected: str, *, holds: Callable[[int], bool] | None = None, least: int = 1
) -> tuple[int, ...]:
    """Gives a constructor's list of integers back, `least` at least; the rest as `expect_option`."""
    listed: Sequence[int] = expect_option(name, values, (list, tuple), expected, holds=lambda v: len(v) >= least)
    return tuple(expect_option(name, value, int, expected, holds=holds) for value in listed)


def _check_options(cls: type, options: Mapping[str, Any], where: str) -> None:
    unknown = next((name for name in options if name not in inspect.signature(_factory(cls)).parameters), '')
    owner = _owner(cls, unknown) if unknown else ''
    check_option_names(_factory(cls), options, f'{where}: {cls.__name__}', f'; {owner} has it' if owner else '')


def _owner(cls: type, option: str) -> str:
    """Another part of the same kind that has an option which this one lacks: `beta` under LikelihoodUpdate."""
    if option in inspect.signature(_factory(cls)).parameters:
        return ''
    # kinds are the package's own bases that configs cannot name: Update, Injector, Refiner
    kinds = [
        base for base in cls.__mro__[1:] if base.__module__.startswith('mmseg_g4seg') and base.__name__ not in _PARTS
    ]
    siblings = [name for name, other in _PARTS.items() if other is not cls and any(issubclass(other, k) for k in kinds)]
    return next((n for n in siblings if option in inspect.signature(_factory(_PARTS[n])).parameters), '')


def _factory(cls: type) -> Callable[..., Any]:
    """What a config's options go to: `from_config`, unless a subclass has a constructor of its own."""
    owner = next((base for base in cls.__mro__ if {'from_config', '__init__'} & set(vars(base))), cls)
    return getattr(cls, 'from_config', cls) if 'from_config' in vars(owner) else cls


def _build(config: Mapping[str, Any]) -> Any:
    # inner parts first: a constructor takes built parts, and knows nothing of configs
    options = {name: _build_inside(value) for name, value in config.items() if name != 'type'}
    return _factory(_PARTS[config['type']])(**options)


def _build_inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _build(value) if 'type' in value else value
    if isinstance(value, Sequence) and not isinstance(value, str) and list(_inner_configs(value, '')):
        return [_build_inside(item) for item in value]
    return value


def _inner_configs(value: Any, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The configs that a value is or holds, each with its place."""
    if isinstance(value, Mapping):
        return [(where, value)] if 'type' in value else []
    if isinstance(value, list | tuple):
        return [(f'{where}[{i}]', item) for i, item in enumerate(value) if isinstance(item, Mapping) and 'type' in item]
    return []


def _nearest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f': did you mean {close[0]!r}?' if close else f'; expected one of {sorted(known)}'
