"""Hooks on a model that can be put on, read and taken off without leaving a trace.

The inspector knows no model: it attaches to any module that keeps a tuple of `forward_hooks` and to
any parameter that keeps a tuple of `backward_hooks` (`probes.recording.protocols`). Hooks are
handed read-only views and return nothing, so looking cannot change what is looked at; what they
want to keep, they copy."""

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
SKIPPED: Mapping[During, bool | None] = {"training": False, "evaluation": True, None: None}
"""The value of a model's `training` in passes that a hook is not called in."""


class HookError(RuntimeError):
    """A hook raised or returned something; the message names its site."""


class ParamView(NamedTuple):
    """What a backward hook sees of a parameter: its name and read-only values."""

    name: str
    data: npt.NDArray[Any]


@dataclass
class SiteStatistics:
    """Running statistics of every value that passed a site: Welford's of the values and of their
    magnitudes."""

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
        """n finite values, their mean, population variance, mean and largest magnitude; count of
        others."""
        return {
            "n": self.values.n,
            "mean": self.values.mean,
            "variance": self.values.variance,
            "mean_abs": self.magnitudes.mean,
            "max_abs": self.max_abs,
            "nonfinite": self.values.nonfinite,
        }


class HookHandle:
    """One registered hook; `remove()` takes it off, also from inside the hook itself, and twice
    does no harm."""

    def __init__(
        self,
        owner: Any,
        attribute: str,
        fire: Callable[..., None],
        forget: Callable[[HookHandle], None],
    ) -> None:
        self._owner, self._attribute, self._fire, self._forget = owner, attribute, fire, forget
        # Tuples are replaced, never changed: whoever is iterating over the old one is not
        # disturbed.
        setattr(owner, attribute, (*getattr(owner, attribute), fire))

    def remove(self) -> None:
        kept = tuple(
            hook for hook in getattr(self._owner, self._attribute) if hook is not self._fire
        )
        setattr(self._owner, self._attribute, kept)
        self._forget(self)


class Inspector:
    """Puts hooks on a model's modules and parameters; as a context manager, takes them off at the
    end.

    A hook given to `register_forward` is called after the module as hook(module, args, kwargs,
    output), one given to `register_backward` once the gradient is filled as hook(param, grad).
    Without a hook the inspector keeps running statistics of the output or gradient under the
    registered name, which `snapshot` reads and `reset` forgets.

    Raises HookError, naming the site, when a hook raises or returns something.
    """

    def __init__(self, model: Model, params: Mapping[str, HookedParam]) -> None:
        self._model, self._params = model, params
        self._handles: dict[HookHandle, str] = {}
        """Every hook that is on, and the name under which it keeps statistics, "" when it keeps
        none."""
        self._statistics: dict[str, SiteStatistics] = {}

    def register_forward(
        self,
        name: str,
        module: HookedModule | None = None,
        hook: ForwardHook | None = None,
        during: During = None,
    ) -> HookHandle:
        """Watch a module under a name; without a module, the model's site of that name.

        With `during`, only in passes of that kind, by the model's `training`; the others then cost
        next to nothing.

        Raises KeyError when the model has no such site, ValueError when statistics are already kept
        under the name."""
        if hook is None:
            return self.register_output(name, module, None, during)
        model, skipped, observe = self._model, SKIPPED[during], hook

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
        """Like `register_forward`, for a hook that is called as hook(output): cheaper, since less
        is protected."""
        target, observe = self._site(name, module), hook or self._statistics_hook(name)
        model, skipped = self._model, SKIPPED[during]

        def fire(
            _module: HookedModule, _args: tuple[Any, ...], _kwargs: dict[str, Any], output: Any
        ) -> None:
            if model.training != skipped:
                _call(name, observe, _read_only(output))

        return self._attach(target, "forward_hooks", fire, "" if hook else name)

    def register_backward(
        self, name: str, param: HookedParam | None = None, hook: BackwardHook | None = None
    ) -> HookHandle:
        """Watch a parameter's gradient under a name; without a parameter, the model's parameter of
        that name.

        Raises KeyError when there is no such parameter, ValueError when statistics are already kept
        under the name."""
        target = _lookup(self._params, name, "parameter") if param is None else param
        observe = hook or self._statistics_hook(name)
        last: tuple[Any, Any] = (None, None)
        views: tuple[Any, ...] = ()

        def fire(param: HookedParam, grad: Any) -> None:
            nonlocal last, views
            if (
                param.data is not last[0] or grad is not last[1]
            ):  # most training loops write the same arrays every step
                last = param.data, grad
                views = ParamView(name, _read_only(param.data)), _read_only(grad)
            _call(name, observe, *views)

        return self._attach(target, "backward_hooks", fire, "" if hook else name)

    def snapshot(self) -> dict[str, dict[str, float]]:
        """Running statistics by registered name since the last reset (`SiteStatistics.summary`)."""
        return {name: statistics.summary() for name, statistics in self._statistics.items()}

    def reset(self) -> None:
        """Start all running statistics anew; hooks stay on."""
        for name in self._statistics:
            self._statistics[name] = SiteStatistics()

    def remove_all(self) -> None:
        """Take every hook off and forget every statistic."""
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
        self, owner: Any, attribute: str, fire: Callable[..., None], kept_as: str = ""
    ) -> HookHandle:
        handle = HookHandle(owner, attribute, fire, self._forget)
        self._handles[handle] = kept_as
        return handle

    def _forget(self, handle: HookHandle) -> None:
        self._statistics.pop(self._handles.pop(handle, ""), None)

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
            f"the hook at {name!r} returned a {type(returned).__name__}; hooks observe and return nothing"
        )


def _read_only(value: Any) -> Any:
    """The same array behind a view that refuses to be written, also inside tuples, lists and
    mappings."""
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
