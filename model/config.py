"""The config of a run: a frozen tree of plain values.

The dimension legend, used for every shape in this package:

    B  rows in a batch            T  positions in the longest row of a batch
    N  real tokens in a batch     C  d_model, the width of the residual stream
    H  attention heads            D  width of one head, C / H
    F  d_ff, neurons in an FFN    V  vocabulary

The values are called leaves and have dotted names. `diff(a, b)` lists the leaves in which two
configs differ; `change(config, "optimizer.lr_max", 3e-2)` returns a config with one leaf
changed."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

Mask = Literal["causal", "all-ones"]
DType = Literal["float32", "float64"]
Leaf = str | int | float


class ConfigError(ValueError):
    """A config that cannot be trained; the message gives the field, its value and the values that
    are allowed."""


def _check_types(section: object, prefix: str) -> None:
    for name, hint in get_type_hints(type(section)).items():
        value = getattr(section, name)
        where = f"{prefix}.{name}" if prefix else name
        if choices := get_args(hint):
            _require(value in choices, where, value, "one of " + ", ".join(map(repr, choices)))
        elif hint is float:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            _require(number and abs(value) < float("inf"), where, value, "a finite number")
        elif hint is int:
            _require(
                isinstance(value, int) and not isinstance(value, bool),
                where,
                value,
                "a whole number",
            )
        else:
            _require(isinstance(value, hint), where, value, f"a {hint.__name__} section")


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"config: {name} is {value!r}; it must be {allowed}")


def _unknown(name: str, known: Mapping[str, Leaf]) -> str:
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5) or [
        full for full in known if full.endswith(f".{name.rpartition('.')[2]}")
    ]
    hint = (
        f"did you mean {' or '.join(map(repr, near))}?"
        if near
        else "the fields are " + ", ".join(known)
    )
    return f"config: there is no field {name!r}; {hint}"


@dataclass(frozen=True)
class Model:
    d_model: int = 64
    n_heads: int = 4
    n_layers: int = 2
    d_ff: int = 256
    vocab_size: int = 64
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5
    init_scale: float = 1.0
    """Factor on every Linear and Embedding weight after Xavier-normal initialisation."""
    attention_mask: Mask = "causal"
    dtype: DType = "float32"

    def __post_init__(self) -> None:
        _check_types(self, "model")
        for name in ("d_model", "n_heads", "n_layers", "d_ff"):
            _require(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "at least 1")
        _require(
            self.d_model % self.n_heads == 0,
            "model.n_heads",
            self.n_heads,
            f"a divisor of model.d_model = {self.d_model}",
        )
        _require(
            self.d_model // self.n_heads % 2 == 0,
            "model.n_heads",
            self.n_heads,
            "a number for which d_model / n_heads is even (rotary positions turn pairs); "
            f"d_model = {self.d_model}",
        )
        _require(self.vocab_size >= 2, "model.vocab_size", self.vocab_size, "at least 2")
        for name in ("rope_base", "norm_eps", "init_scale"):
            _require(getattr(self, name) > 0, f"model.{name}", getattr(self, name), "above 0")


@dataclass(frozen=True)
class Data:
    batch_size: int = 32
    val_cells_per_class: int = 2
    """Number of regular, and of irregular, (verb, tense) cells of each tense in the validation
    split."""

    def __post_init__(self) -> None:
        _check_types(self, "data")
        _require(self.batch_size >= 1, "data.batch_size", self.batch_size, "at least 1")
        _require(
            1 <= self.val_cells_per_class <= 6,
            "data.val_cells_per_class",
            self.val_cells_per_class,
            "1 to 6",
        )


@dataclass(frozen=True)
class Optimizer:
    lr_max: float = 1.7e-2
    lr_min_ratio: float = 0.1
    """The cosine ends at lr_max * lr_min_ratio."""
    warmup_steps: int = 15
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    """Decoupled, and applied to matrices and the embedding only."""
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        _check_types(self, "optimizer")
        for name in ("lr_max", "eps", "clip_norm"):
            _require(getattr(self, name) > 0, f"optimizer.{name}", getattr(self, name), "above 0")
        _require(0 <= self.lr_min_ratio <= 1, "optimizer.lr_min_ratio", self.lr_min_ratio, "0 to 1")
        _require(self.warmup_steps >= 0, "optimizer.warmup_steps", self.warmup_steps, "at least 0")
        for name in ("beta1", "beta2"):
            _require(
                0 <= getattr(self, name) < 1,
                f"optimizer.{name}",
                getattr(self, name),
                "at least 0 and below 1",
            )
        _require(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "at least 0")


@dataclass(frozen=True)
class Config:
    """One training run. On one machine, equal configs train to equal bits (`model.train`)."""

    seed: int = 0
    steps: int = 120
    eval_every: int = 3
    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    optimizer: Optimizer = field(default_factory=Optimizer)

    def __post_init__(self) -> None:
        _check_types(self, "")
        _require(self.seed >= 0, "seed", self.seed, "at least 0")
        _require(self.steps >= 1, "steps", self.steps, "at least 1")
        _require(
            1 <= self.eval_every <= self.steps,
            "eval_every",
            self.eval_every,
            f"1 to steps = {self.steps}",
        )
        _require(
            self.optimizer.warmup_steps <= self.steps,
            "optimizer.warmup_steps",
            self.optimizer.warmup_steps,
            f"at most steps = {self.steps}",
        )


HEALTHY = Config()


def leaves(config: Config) -> dict[str, Leaf]:
    """All values of the tree by their dotted names, in the order of declaration."""
    flat: dict[str, Leaf] = {}
    for name, value in dataclasses.asdict(config).items():
        if isinstance(value, dict):
            flat.update({f"{name}.{leaf}": inner for leaf, inner in value.items()})
        else:
            flat[name] = value
    return flat


def diff(a: Config, b: Config) -> dict[str, tuple[Leaf, Leaf]]:
    """The leaves in which two configs differ: name -> (in a, in b)."""
    other = leaves(b)
    return {name: (value, other[name]) for name, value in leaves(a).items() if value != other[name]}


def change(config: Config, name: str, value: Leaf) -> Config:
    """The config with one leaf changed.

    Raises ConfigError for an unknown leaf, with the nearest names, and for a value that is not
    allowed."""
    if name not in leaves(config):
        raise ConfigError(_unknown(name, leaves(config)))
    section, _, leaf = name.rpartition(".")
    if not section:
        return dataclasses.replace(config, **{leaf: value})  # type: ignore[arg-type]
    part = dataclasses.replace(getattr(config, section), **{leaf: value})
    return dataclasses.replace(config, **{section: part})


def from_dict(tree: Mapping[str, Any]) -> Config:
    """The inverse of `dataclasses.asdict(config)`. Fields that the tree leaves out have their
    defaults.

    Raises ConfigError for an unknown key, and for a value of the wrong type or that is not allowed.
    """
    sections = {"model": Model, "data": Data, "optimizer": Optimizer}
    known = leaves(Config())
    arguments: dict[str, Any] = {}
    if not isinstance(tree, Mapping):
        raise ConfigError(f"config: {tree!r:.60} is not a table of fields")
    for key, value in tree.items():
        if "." in str(key):
            section, _, leaf = str(key).partition(".")
            raise ConfigError(
                f"config: {key!r} is dotted; "
                f"write it as a table, {{{section!r}: {{{leaf!r}: {value!r}}}}}"
            )
        if key in sections:
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"config: {key} is {value!r}; it must be a table of {key}'s fields"
                )
            for leaf in value:
                if f"{key}.{leaf}" not in known:
                    raise ConfigError(_unknown(f"{key}.{leaf}", known))
            arguments[key] = sections[key](**value)
        elif key in known:
            arguments[key] = value
        else:
            raise ConfigError(_unknown(str(key), known))
    return Config(**arguments)
