"""The small protocol that makes a training loop watchable. Any object of this shape will do; none
has to inherit it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
ForwardHook = Callable[..., None]
BackwardHook = Callable[[Any, Any], None]
KINDS = ("layer", "ffn", "attention", "matrix")


class HookedModule(Protocol):
    """Something with a forward pass that ends by calling `hook(module, args, kwargs, output)` for
    each of its hooks."""

    forward_hooks: tuple[ForwardHook, ...]


class HookedParam(Protocol):
    """A parameter whose backward pass, once `grad` is filled, calls `hook(param, grad)` for each of
    its hooks."""

    backward_hooks: tuple[BackwardHook, ...]

    @property
    def data(self) -> Array: ...

    @property
    def grad(self) -> Array: ...


class Model(Protocol):
    """The modules worth seeing, by site name in the order of the forward pass, and whether this is
    a training pass."""

    @property
    def sites(self) -> Mapping[str, HookedModule]: ...

    @property
    def training(self) -> bool: ...


class Step(Protocol):
    """One finished training step; `params`, `grads` and `updates` are read-only views that the next
    step overwrites.

    loss is the batch's, taken before the update; grads are those before clipping, of whatever is
    trained, and grad_norm is of all of them; updates are what was added to the parameters;
    evaluation, when there was one, was taken after the update: full-split losses, and losses by
    class under "val_loss_by_class/<class>"."""

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


class Specimen(Protocol):
    """Something trainable that can be watched.

    `facts()["sites"]` maps each site to its kind, which decides what is measured there:

        layer       a module whose output is a layer's activation; the parameters whose names begin
                    with the site's name and a dot are the layer's
        ffn         a module whose output is an FFN's pre-activation, [..., neurons]
        attention   a module whose output is attention weights [B, H, Tq, Tk], called with the
                    keyword `visible`: bool, broadcastable to [B, Tq, Tk], which keys a query may
                    see (none: a query that is padding)
        matrix      a two-dimensional parameter
    """

    @property
    def model(self) -> Model: ...

    @property
    def params(self) -> Mapping[str, HookedParam]: ...

    def facts(self) -> dict[str, Any]: ...

    def steps(self) -> Iterator[Step]: ...


def check(specimen: Specimen, sites: Mapping[str, str]) -> None:
    """Raises ValueError, before the first step, for what the declared sites and the specimen's
    parts do not share."""
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
                f"facts(): {name!r}, of kind {kind!r}, is no {what}; there are {', '.join(home)}"
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
                f"{name!r} has no {attribute}; give it an empty tuple and call each of them (Specimen)"
            )
