"""Hooks must not change the training, must say where they failed, and must leave nothing behind."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from model import HEALTHY, build
from probes import Inspector, watch
from probes.recording.inspector import HookError
from tests.mlp import MLP

SHORT = replace(HEALTHY, steps=15, eval_every=7)


@pytest.fixture
def mlp():
    return MLP()


@pytest.fixture
def inspector(mlp):
    with Inspector(mlp.model, mlp.params) as inspector:
        yield inspector


def hooks_left(specimen):
    modules = [hook for module in specimen.model.sites.values() for hook in module.forward_hooks]
    return modules + [hook for param in specimen.params.values() for hook in param.backward_hooks]


def test_losses_and_final_weights_are_bit_identical_with_and_without_hooks():
    """A watched run against one without hooks."""
    bare, watched = build(SHORT), build(SHORT)
    losses = [step.loss for step in bare.steps()]
    record = watch(watched)
    assert record.column("loss").tolist() == losses
    assert watched.params.flat.tobytes() == bare.params.flat.tobytes()


def test_after_watching_no_hook_is_left():
    """No module and no parameter has a hook afterwards."""
    specimen = build(SHORT)
    watch(specimen)
    assert hooks_left(specimen) == []


def test_forward_hook_receives_module_arguments_and_output(inspector, mlp):
    """The hook is called as hook(module, args, kwargs, output), after the module."""
    seen = []
    inspector.register_forward(
        "out", mlp.model.sites["out"], lambda *a: seen.append((a[0], a[1][0].shape, a[3].shape))
    )
    mlp.loss()
    assert seen == [(mlp.model.sites["out"], (64, 16), (64, 4))]


def test_backward_hook_receives_the_filled_gradient(inspector, mlp):
    """The hook is called as hook(param, grad), once grad is the gradient of the step."""
    seen = []
    inspector.register_backward(
        "w", mlp.params["out.weight"], lambda p, g: seen.append((p.name, g.copy()))
    )
    step = next(mlp.steps())
    assert seen[0][0] == "w"
    np.testing.assert_array_equal(seen[0][1], step.grads["out.weight"])


@pytest.mark.parametrize("which", ["args", "output"])
def test_forward_hook_that_writes_raises(inspector, mlp, which):
    """Inputs and outputs are read-only views."""

    def vandal(module, args, kwargs, output):
        (args[0] if which == "args" else output)[...] = 0

    inspector.register_forward("hidden", mlp.model.sites["hidden"], vandal)
    with pytest.raises(HookError, match=r"the hook at 'hidden' failed: ValueError.*read-only"):
        mlp.loss()


@pytest.mark.parametrize("which", ["data", "grad"])
def test_backward_hook_that_writes_raises(inspector, mlp, which):
    """Neither a weight nor its gradient can be changed from a hook."""

    def vandal(param, grad):
        (grad if which == "grad" else param.data)[...] = 0

    inspector.register_backward("w", mlp.params["out.weight"], vandal)
    with pytest.raises(HookError, match=r"the hook at 'w' failed.*read-only"):
        next(mlp.steps())


def test_keyword_arguments_are_read_only():
    """A hook cannot change the mask of attention."""
    specimen = build(SHORT)

    def vandal(module, args, kwargs, output):
        kwargs["visible"][...] = True

    with Inspector(specimen.model, specimen.params) as inspector:
        inspector.register_forward("blocks.0.attn.pattern", hook=vandal)
        with pytest.raises(HookError, match="read-only"):
            next(specimen.steps())


def test_hook_that_fails_names_its_site_and_the_error(inspector, mlp):
    """The error names them so that the hook can be found."""
    inspector.register_forward("hidden", mlp.model.sites["hidden"], lambda *_: 1 / 0)
    with pytest.raises(
        HookError, match="the hook at 'hidden' failed: ZeroDivisionError: division by zero"
    ):
        mlp.loss()


def test_hook_that_returns_something_is_refused(inspector, mlp):
    """A returned value would have no effect."""
    inspector.register_forward("hidden", mlp.model.sites["hidden"], lambda *_: 3)
    with pytest.raises(HookError, match="returned a int; a hook must return None"):
        mlp.loss()


def test_removed_hook_is_not_called_again(inspector, mlp):
    """Removing it twice does no harm."""
    calls = []
    handle = inspector.register_forward(
        "hidden", mlp.model.sites["hidden"], lambda *_: calls.append(1)
    )
    mlp.loss()
    handle.remove()
    handle.remove()
    mlp.loss()
    assert calls == [1]


def test_hook_may_remove_itself_and_its_neighbours_still_fire(inspector, mlp):
    """Removing a hook from inside it does not disturb other hooks of the module."""
    calls = []
    site = mlp.model.sites["hidden"]
    first = inspector.register_forward(
        "a", site, lambda *_: (calls.append("a"), first.remove())[2:] or None
    )
    inspector.register_forward("b", site, lambda *_: calls.append("b"))
    mlp.loss()
    mlp.loss()
    assert calls == ["a", "b", "b"]


def test_remove_all_from_inside_a_hook_is_safe(inspector, mlp):
    """The pass goes on normally."""
    inspector.register_forward(
        "hidden", mlp.model.sites["hidden"], lambda *_: inspector.remove_all()
    )
    inspector.register_forward("out", mlp.model.sites["out"])
    mlp.loss()
    assert hooks_left(mlp) == []


def test_after_remove_all_nothing_is_left_behind(inspector, mlp):
    """No module or parameter has a hook, and the inspector holds no statistics."""
    inspector.register_forward("hidden", mlp.model.sites["hidden"])
    inspector.register_backward("hidden.weight", mlp.params["hidden.weight"])
    inspector.remove_all()
    assert (hooks_left(mlp), inspector.snapshot()) == ([], {})


def test_context_manager_removes_hooks_when_the_loop_fails(mlp):
    """An exception inside leaves the model clean."""

    def watch_and_fail():
        with Inspector(mlp.model, mlp.params) as inspector:
            inspector.register_forward("hidden", mlp.model.sites["hidden"])
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        watch_and_fail()
    assert hooks_left(mlp) == []


def test_without_a_hook_statistics_run_over_every_value(inspector, mlp):
    """The statistics over two passes agree with NumPy over the outputs of both."""
    outputs = []
    inspector.register_forward("out", mlp.model.sites["out"])
    inspector.register_forward(
        "copy", mlp.model.sites["out"], lambda *a: outputs.append(a[3].copy())
    )
    for _ in mlp.steps():
        if len(outputs) >= 4:
            break
    values = np.concatenate(outputs)
    expected = {
        "n": values.size, "mean": values.mean(), "variance": values.var(),
        "mean_abs": np.abs(values).mean(), "max_abs": np.abs(values).max(), "nonfinite": 0,
    }  # fmt: skip
    assert inspector.snapshot()["out"] == pytest.approx(expected)


def test_reset_starts_statistics_anew_and_keeps_the_hook(inspector, mlp):
    """n counts what came after the reset."""
    inspector.register_forward("out", mlp.model.sites["out"])
    mlp.loss()
    inspector.reset()
    mlp.loss()
    assert inspector.snapshot()["out"]["n"] == 64 * 4


def test_reset_forgets_magnitudes_too(inspector, mlp):
    """Outputs that were a hundred times larger before the reset affect neither the mean nor the
    maximum after it."""
    outputs, weight = [], mlp.params["out.weight"].data
    inspector.register_forward("out")
    inspector.register_forward(
        "copy", mlp.model.sites["out"], lambda *a: outputs.append(np.abs(a[3]))
    )
    weight *= 100
    mlp.loss()
    inspector.reset()
    weight /= 100
    mlp.loss()
    site = inspector.snapshot()["out"]
    assert (site["mean_abs"], site["max_abs"]) == pytest.approx(
        (outputs[1].mean(), outputs[1].max())
    )


@pytest.mark.parametrize(("during", "calls"), [("training", 2), ("evaluation", 3), (None, 5)])
@pytest.mark.parametrize("register", ["register_forward", "register_output"])
def test_hook_is_called_in_passes_of_the_kind_it_is_for(inspector, mlp, register, during, calls):
    """The test makes two training passes and three others."""
    called = []
    getattr(inspector, register)("hidden", hook=lambda *_: called.append(1), during=during)
    for mlp.model.training in (True, False, False, True, False):
        mlp.loss()
    assert len(called) == calls


def test_output_hook_receives_the_output_alone(inspector, mlp):
    """The hook is called as hook(output), with a read-only view."""
    seen = []
    inspector.register_output(
        "out", hook=lambda *handed: seen.append([(a.shape, a.flags.writeable) for a in handed])
    )
    mlp.loss()
    assert seen == [[((64, 4), False)]]


def test_backward_hook_receives_new_arrays_when_the_loop_makes_new_ones(inspector, mlp):
    """Weight and gradient are new, then the gradient alone, then neither, then the weight alone."""
    param, seen = mlp.params["out.weight"], []
    inspector.register_backward(
        "w", param, lambda p, g: seen.append((float(p.data[0, 0]), float(g[0, 0])))
    )
    (fire,) = param.backward_hooks
    kept = np.full((4, 16), 9.0)
    for value in (1.0, 2.0):
        param.data = np.full((4, 16), value)
        fire(param, np.full((4, 16), -value))
    fire(param, kept)
    kept[...] = 10.0
    fire(param, kept)
    param.data = np.full((4, 16), 3.0)
    fire(param, kept)
    assert seen == [(1.0, -1.0), (2.0, -2.0), (2.0, 9.0), (2.0, 10.0), (3.0, 10.0)]


def test_site_can_be_found_by_its_name(inspector, mlp):
    """Without a module the hook is attached to the model's site of that name."""
    inspector.register_forward("out")
    mlp.loss()
    assert inspector.snapshot()["out"]["n"] == 64 * 4


def test_unknown_site_is_an_error_that_lists_the_sites(inspector):
    """The error is raised before the first pass."""
    with pytest.raises(KeyError, match="no site 'hiden'; it has hidden, out"):
        inspector.register_forward("hiden")


def test_second_statistics_under_one_name_are_refused(inspector):
    """The statistics of two sites would be mixed."""
    inspector.register_forward("out")
    with pytest.raises(ValueError, match="already kept for 'out'"):
        inspector.register_forward("out")


def test_statistics_of_a_removed_hook_are_forgotten_and_its_name_is_free(inspector):
    """After a thousand hooks under one name, nothing has accumulated."""
    for _ in range(1000):
        inspector.register_forward("out").remove()
    assert inspector.snapshot() == {}
    inspector.register_forward("out")


def test_arrays_inside_lists_and_mappings_are_read_only():
    """A module may return these."""
    module, outputs = (
        SimpleNamespace(forward_hooks=()),
        {"logits": np.zeros(3), "hidden": [np.zeros(3)]},
    )

    def vandal(which):
        return lambda module, args, kwargs, output: which(output).fill(1)

    with Inspector(SimpleNamespace(sites={"m": module}, training=True), {}) as inspector:
        for which in (lambda o: o["logits"], lambda o: o["hidden"][0]):
            handle = inspector.register_forward("m", hook=vandal(which))
            with pytest.raises(HookError, match="read-only"):
                module.forward_hooks[0](module, (), {}, outputs)
            handle.remove()


def test_failing_hook_does_not_leave_the_model_in_training_mode():
    """The next evaluation would be taken for a training pass."""
    specimen = build(SHORT)
    with Inspector(specimen.model, specimen.params) as inspector:
        inspector.register_forward("embed", hook=lambda *_: 1 / 0)
        with pytest.raises(HookError):
            next(specimen.steps())
    assert not specimen.model.training
