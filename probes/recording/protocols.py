"""The protocols that a specimen must follow so that `watch` can train it. Any object with these
attributes works; no base class is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
ForwardHook = Callable[..., None]
BackwardHook = Callable[[Any, Any], None]
KINDS = ("layer", "ffn", "attention", "matrix")
"""The kinds of sites; `Specimen` says what is measured at each."""


class HookedModule(Protocol):
    """A module whose forward pass ends by calling `hook(module, args, kwargs, output)` for each of
    its hooks."""

    forward_hooks: tuple[ForwardHook, ...]


class HookedParam(Protocol):
    """A parameter. Once its `grad` is filled, the backward pass calls `hook(param, grad)` for each
    of its hooks."""

    backward_hooks: tuple[BackwardHook, ...]

    @property
    def data(self) -> Array: ...

    @property
    def grad(self) -> Array: ...


class Model(Protocol):
    """A model with modules that can be hooked.

    sites     name -> module, in the order of the forward pass
    training  True during a training pass, False during an evaluation
    """

    @property
    def sites(self) -> Mapping[str, HookedModule]: ...

    @property
    def training(self) -> bool: ...


class Step(Protocol):
    """One finished training step.

    index       number of the step, from 0
    loss        mean loss of the batch, before the update
    lr          learning rate of the update
    grad_norm   L2 norm of all gradients together, before clipping
    batch_ids   indices of the data rows in the batch
    params      parameters after the update
    grads       gradients before clipping; parameters that are not trained have none
    updates     for each parameter, the difference that the step added to it
    evaluation  losses over whole splits after the update; None if the step had no evaluation.
                Losses by class have keys like "val_loss_by_class/<class>"

    The arrays are read-only views, which the next step overwrites.
    """

    @property
    def index(self) -> int: ...

    @property
    def loss(self) -> float: ...

    @property
    def lr(self) -> float: ...

    @property
    def grad_norm(self) -> float: ...

    @property
    def batch_ids(self) -> Sequence[int] | npt.NDArray[np.integer[Any]]: ...

    @property
    def params(self) -> Mapping[str, Array]: ...

    @property
    def grads(self) -> Mapping[str, Array]: ...

    @property
    def updates(self) -> Mapping[str, Array]: ...

    @property
    def evaluation(self) -> Mapping[str, float] | None: ...


class DataSet(Protocol):
    """What a data set says that its model is fed, which `probes.recording.data_audit` compares with
    what it is fed.

    rows        the rows of the data set by id: tokens [T + 1] of which the model predicts the last
                T from the first T
    train, val  ids of the rows of both splits
    batch_size  rows of a batch. An epoch draws each training row at most once, in a new random
                order, and leaves out an incomplete last batch
    fed         "tokens" and "targets" -> the module that a pass calls with them, and the position
                of this argument. Both are packed: one row after the other, without padding, in the
                order of `Step.batch_ids`
    """

    @property
    def rows(self) -> Sequence[npt.NDArray[np.integer[Any]]]: ...

    @property
    def train(self) -> npt.NDArray[np.integer[Any]]: ...

    @property
    def val(self) -> npt.NDArray[np.integer[Any]]: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def fed(self) -> Mapping[str, tuple[Any, int]]: ...


class Specimen(Protocol):
    """A model with its data and optimizer, which `watch` can train.

    `facts()["sites"]` maps each site to its kind. The kind decides what is measured at the site:

        layer       a module whose output is a layer's activation; parameters whose names begin
                    with the site's name and a dot belong to the layer
        ffn         a module whose output is the input of an FFN's GELU, [..., neurons]
        attention   a module whose output is attention weights [B, H, Tq, Tk]. The module is called
                    with the keyword `visible`: bool, broadcastable to [B, Tq, Tk], True where a
                    query may see a key. A padding query must see no key.
        matrix      a parameter with two axes

    A specimen may also have a method `provenance()`, which returns a dict with name, seed, config
    and other information for people, and a method `data_set()`, which returns a `DataSet`.
    """

    @property
    def model(self) -> Model: ...

    @property
    def params(self) -> Mapping[str, HookedParam]: ...

    def facts(self) -> dict[str, Any]: ...

    def steps(self) -> Iterator[Step]: ...


def check(specimen: Specimen, sites: Mapping[str, str]) -> None:
    """Raise ValueError if a declared site has an unknown kind, does not exist, or cannot be
    hooked."""
    if not isinstance(sites, Mapping):
        raise ValueError(f"facts()['sites'] is {sites!r:.80}; it must map each site to its kind")
    for name, kind in sites.items():
        if kind not in KINDS:
            raise ValueError(
                f"facts(): site {name!r} is of kind {kind!r}; it must be one of {', '.join(KINDS)}"
            )
        home, what = (
            (specimen.params, "parameter")
            if kind == "matrix"
            else (specimen.model.sites, "site of the model")
        )
        if name not in home:
            raise ValueError(
                f"facts(): {name!r}, of kind {kind!r}, is not a {what}; "
                f"the specimen has {', '.join(home)}"
            )
    hooked: dict[str, tuple[object, str]] = {
        name: (module, "forward_hooks")
        for name, module in specimen.model.sites.items()
        if name in sites
    }
    hooked |= {name: (param, "backward_hooks") for name, param in specimen.params.items()}
    for name, (part, attribute) in hooked.items():
        if not hasattr(part, attribute):
            raise ValueError(
                f"{name!r} has no {attribute}; give it an empty tuple, and call each hook in it "
                "(see probes.recording.protocols)"
            )
