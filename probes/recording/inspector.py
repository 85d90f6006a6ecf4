"""Attaches hooks to a model and removes them completely.

This works with any module that has a tuple `forward_hooks` and any parameter that has a tuple
`backward_hooks` (`probes.recording.protocols`). A hook receives read-only views, so it cannot
change the training. To keep an array, a hook must copy it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from probes.recording.protocols import HookedModule, HookedParam, Model
from probes.recording.running_stats import Welford

ForwardHook = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]
OutputHook = Callable[[Any], None]
BackwardHook = Callable[["ParamView", Any], None]
During = Literal["training", "evaluation"] | None
SKIP_IF_TRAINING_IS: Mapping[During, bool | None] = {
    "training": False,
    "evaluation": True,
    None: None,
}
"""Value of `during` -> the value of `model.training` for which the hook is skipped."""


class HookError(RuntimeError):
    """Raised when a hook raises an exception or returns a value. The message names its site."""


class ParamView(NamedTuple):
    """The view of a parameter that a backward hook receives: registered name and read-only
    values."""

    name: str
    data: npt.NDArray[Any]


@dataclass
class SiteStatistics:
    """Running statistics of all values at a site, and of their magnitudes."""

    values: Welford = field(default_factory=Welford)
    magnitudes: Welford = field(default_factory=Welford)
    max_abs: float = 0.0

    def update(self, array: npt.ArrayLike) -> None:
        chunk = np.asarray(array, dtype=np.float64)
        self.values.update(chunk)
        np.abs(chunk, out=(magnitudes := np.empty_like(chunk)))
        self.magnitudes.update(magnitudes)
        self.max_abs = max(
            self.max_abs, float(np.max(magnitudes, initial=0.0, where=np.isfinite(magnitudes)))
        )

    def summary(self) -> dict[str, float]:
        """n (number of finite values), mean, variance (of the population), mean_abs and max_abs of
        the finite values, and nonfinite (number of values that are not finite)."""
        return {
            "n": self.values.n,
            "mean": self.values.mean,
            "variance": self.values.variance,
            "mean_abs": self.magnitudes.mean,
            "max_abs": self.max_abs,
            "nonfinite": self.values.nonfinite,
        }


class HookHandle:
    """One registered hook. `remove()` may be called from inside the hook, and more than once."""

    def __init__(
        self,
        owner: Any,
        attribute: str,
        fire: Callable[..., None],
        on_remove: Callable[[HookHandle], object],
    ) -> None:
        self._owner, self._attribute = owner, attribute
        self._fire, self._on_remove = fire, on_remove
        # A new tuple is assigned, so that a running loop over the old tuple is not affected.
        setattr(owner, attribute, (*getattr(owner, attribute), fire))

    def remove(self) -> None:
        kept = tuple(
            hook for hook in getattr(self._owner, self._attribute) if hook is not self._fire
        )
        setattr(self._owner, self._attribute, kept)
        self._on_remove(self)


class Inspector:
    """Attaches hooks to modules and parameters of a model. It is a context manager that removes
    them at the end.

    `register_forward` calls hook(module, args, kwargs, output) after the module, and
    `register_backward` calls hook(param, grad) once the gradient is computed. If no hook is given,
    the inspector keeps running statistics of the output or the gradient under the registered name;
    `snapshot` returns them and `reset` starts them again.

    If a hook raises an exception or returns a value, the forward or backward pass raises HookError
    with the name of the site.
    """

    def __init__(self, model: Model, params: Mapping[str, HookedParam]) -> None:
        self._model, self._params = model, params
        self._handles: dict[HookHandle, str] = {}
        """Handle -> the name of its statistics, or "" if it keeps none."""
        self._statistics: dict[str, SiteStatistics] = {}

    def register_forward(
        self,
        name: str,
        module: HookedModule | None = None,
        hook: ForwardHook | None = None,
        during: During = None,
    ) -> HookHandle:
        """Attach a hook to a module. The default module is the model's site called `name`.

        If `during` is given, the hook is called only in passes of that kind, according to
        `model.training`. Other passes then take almost no extra time.

        Raises KeyError when the model has no such site, ValueError when statistics are already kept
        under the name."""
        if hook is None:
            return self.register_output(name, module, None, during)
        model, skipped, observe = self._model, SKIP_IF_TRAINING_IS[during], hook

        def fire(
            module: HookedModule, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
        ) -> None:
            if model.training != skipped:
                _call(
                    name, observe, module, _read_only(args), _read_only(kwargs), _read_only(output)
                )

        return self._attach(self._site(name, module), "forward_hooks", fire)

    def register_output(
        self,
        name: str,
        module: HookedModule | None = None,
        hook: OutputHook | None = None,
        during: During = None,
    ) -> HookHandle:
        """Like `register_forward`, but the hook is called as hook(output). This is faster, because
        fewer read-only views are created."""
        target, observe = self._site(name, module), hook or self._statistics_hook(name)
        model, skipped = self._model, SKIP_IF_TRAINING_IS[during]

        def fire(
            _module: HookedModule, _args: tuple[Any, ...], _kwargs: dict[str, Any], output: Any
        ) -> None:
            if model.training != skipped:
                _call(name, observe, _read_only(output))

        return self._attach(target, "forward_hooks", fire, "" if hook else name)

    def register_backward(
        self, name: str, param: HookedParam | None = None, hook: BackwardHook | None = None
    ) -> HookHandle:
        """Attach a hook to the gradient of a parameter. The default is the model's parameter called
        `name`.

        Raises KeyError when there is no such parameter, ValueError when statistics are already kept
        under the name."""
        target = _lookup(self._params, name, "parameter") if param is None else param
        observe = hook or self._statistics_hook(name)
        last: tuple[Any, Any] = (None, None)
        views: tuple[Any, ...] = ()

        def fire(param: HookedParam, grad: Any) -> None:
            nonlocal last, views
            # Most training loops use the same arrays in every step, so the views can be reused.
            if param.data is not last[0] or grad is not last[1]:
                last = param.data, grad
                views = ParamView(name, _read_only(param.data)), _read_only(grad)
            _call(name, observe, *views)

        return self._attach(target, "backward_hooks", fire, "" if hook else name)

    def snapshot(self) -> dict[str, dict[str, float]]:
        """Running statistics since the last reset, by registered name: n, mean, variance, mean_abs,
        max_abs, nonfinite."""
        return {name: statistics.summary() for name, statistics in self._statistics.items()}

    def reset(self) -> None:
        """Start all running statistics again. Hooks stay attached."""
        for name in self._statistics:
            self._statistics[name] = SiteStatistics()

    def remove_all(self) -> None:
        """Remove all hooks and their statistics."""
        for handle in tuple(self._handles):
            handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove_all()

    def _site(self, name: str, module: HookedModule | None) -> HookedModule:
        return _lookup(self._model.sites, name, "site") if module is None else module

    def _attach(
        self, owner: Any, attribute: str, fire: Callable[..., None], statistics_name: str = ""
    ) -> HookHandle:
        handle = HookHandle(
            owner,
            attribute,
            fire,
            lambda handle: self._statistics.pop(self._handles.pop(handle, ""), None),
        )
        self._handles[handle] = statistics_name
        return handle

    def _statistics_hook(self, name: str) -> Callable[..., None]:
        if name in self._statistics:
            raise ValueError(
                f"statistics are already kept for {name!r}; give a hook, or another name"
            )
        self._statistics[name] = SiteStatistics()

        def keep(*seen: Any) -> None:
            if name in self._statistics:
                self._statistics[name].update(seen[-1])

        return keep


def _call(name: str, hook: Callable[..., None], *seen: Any) -> None:
    try:
        returned: object = hook(*seen)  # type: ignore[func-returns-value]
    except Exception as error:
        raise HookError(f"the hook at {name!r} failed: {type(error).__name__}: {error}") from error
    if returned is not None:
        raise HookError(
            f"the hook at {name!r} returned a {type(returned).__name__}; a hook must return None"
        )


def _read_only(value: Any) -> Any:
    """Replace every array in a value by a read-only view, also inside tuples, lists and dicts."""
    if isinstance(value, np.ndarray):
        view = value.view()
        view.setflags(write=False)
        return view
    if isinstance(value, tuple):
        inner = map(_read_only, value)
        return value._make(inner) if hasattr(value, "_make") else tuple(inner)
    if isinstance(value, list):
        return [_read_only(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _read_only(inner) for key, inner in value.items()}
    return value


def _lookup(table: Mapping[str, Any], name: str, kind: str) -> Any:
    if name not in table:
        raise KeyError(f"the model has no {kind} {name!r}; it has {', '.join(table)}")
    return table[name]
