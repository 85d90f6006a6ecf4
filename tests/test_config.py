"""A config that cannot be trained is refused with the field, its value and the values that are
allowed."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import (
    HEALTHY,
    Config,
    ConfigError,
    Model,
    Optimizer,
    change,
    diff,
    from_dict,
    leaves,
)

IMPOSSIBLE: list[tuple[str, Any, str]] = [
    ("seed", -1, "at least 0"),
    ("seed", 1.0, "a whole number"),
    ("seed", True, "a whole number"),
    ("steps", 0, "at least 1"),
    ("steps", "120", "a whole number"),
    ("eval_every", 0, "1 to steps = 120"),
    ("eval_every", 121, "1 to steps = 120"),
    ("model.d_model", 0, "at least 1"),
    ("model.d_model", 64.0, "a whole number"),
    ("model.n_heads", 0, "at least 1"),
    ("model.n_heads", 5, "a divisor of model.d_model = 64"),
    ("model.n_heads", 64, "d_model / n_heads is even"),
    ("model.n_layers", 0, "at least 1"),
    ("model.d_ff", -256, "at least 1"),
    ("model.vocab_size", 1, "at least 2"),
    ("model.rope_base", 0.0, "above 0"),
    ("model.norm_eps", float("nan"), "a finite number"),
    ("model.init_scale", float("inf"), "a finite number"),
    ("model.attention_mask", "casual", "one of 'causal', 'all-ones'"),
    ("model.dtype", "float16", "one of 'float32', 'float64'"),
    ("data.batch_size", 0, "at least 1"),
    ("data.val_cells_per_class", 7, "1 to 6"),
    ("optimizer.lr_max", 0.0, "above 0"),
    ("optimizer.lr_max", "2e-2", "a finite number"),
    ("optimizer.lr_min_ratio", 1.5, "0 to 1"),
    ("optimizer.warmup_steps", -1, "at least 0"),
    ("optimizer.warmup_steps", 121, "at most steps = 120"),
    ("optimizer.beta1", 1.0, "at least 0 and below 1"),
    ("optimizer.beta2", -0.1, "at least 0 and below 1"),
    ("optimizer.eps", 0, "above 0"),
    ("optimizer.weight_decay", -0.1, "at least 0"),
    ("optimizer.clip_norm", None, "a finite number"),
]
SHORT = change(change(HEALTHY, "eval_every", 3), "steps", 120)


@pytest.mark.parametrize(("field", "value", "allowed"), IMPOSSIBLE)
def test_impossible_value_is_refused(field: str, value: Any, allowed: str) -> None:
    """The message gives the field, the value and what is allowed."""
    with pytest.raises(ConfigError) as refused:
        change(SHORT, field, value)
    message = str(refused.value)
    assert (field in message, repr(value) in message, allowed in message) == (True, True, True), (
        message
    )


def test_every_field_has_values_that_are_refused() -> None:
    """The table above has each leaf of the config."""
    assert {field for field, _, _ in IMPOSSIBLE} == set(leaves(HEALTHY))


def test_healthy_config_has_the_published_sizes() -> None:
    """These sizes give 103,680 parameters."""
    model = HEALTHY.model
    assert (model.d_model, model.n_heads, model.n_layers, model.d_ff, model.vocab_size) == (
        64,
        4,
        2,
        256,
        64,
    )


def test_config_cannot_be_changed() -> None:
    """A run and its config cannot come apart."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        HEALTHY.model.init_scale = 100.0  # type: ignore[misc]


def test_equal_configs_have_no_difference() -> None:
    """`diff` of a config and its copy is empty."""
    assert diff(HEALTHY, from_dict(dataclasses.asdict(HEALTHY))) == {}


def test_diff_names_each_leaf_with_both_values() -> None:
    """The value in the first config, then the value in the second."""
    other = change(change(SHORT, "model.init_scale", 100.0), "seed", 7)
    assert diff(SHORT, other) == {"seed": (SHORT.seed, 7), "model.init_scale": (1.0, 100.0)}


@given(
    st.sampled_from(sorted(leaves(HEALTHY))),
    st.sampled_from([1, 2, 4, 8, 0.5, 1e-3, "all-ones", "float64"]),
)
def test_change_changes_one_leaf_only(field: str, value: Any) -> None:
    """This holds for any leaf and any valid value of it."""
    try:
        other = change(SHORT, field, value)
    except ConfigError:
        return
    assert set(diff(SHORT, other)) <= {field}
    assert leaves(other)[field] == value


@given(
    seed=st.integers(0, 10**9),
    warmup=st.integers(0, 120),
    mask=st.sampled_from(["causal", "all-ones"]),
)
def test_config_is_the_same_after_it_was_a_dict(seed: int, warmup: int, mask: Any) -> None:
    """`from_dict` is the inverse of `dataclasses.asdict`."""
    config = Config(
        seed=seed,
        steps=120,
        eval_every=3,
        model=Model(attention_mask=mask),
        optimizer=Optimizer(warmup_steps=warmup),
    )
    assert from_dict(dataclasses.asdict(config)) == config


def test_fields_that_a_dict_leaves_out_have_their_defaults() -> None:
    """An empty dict is the default config."""
    assert from_dict({"model": {"d_ff": 128}}) == dataclasses.replace(
        Config(), model=Model(d_ff=128)
    )


@pytest.mark.parametrize(
    ("tree", "hint"),
    [
        (
            {"optimizer": {"lr_mx": 1.0}},
            "there is no field 'optimizer.lr_mx'; did you mean 'optimizer.lr_max'",
        ),
        ({"sede": 1}, "there is no field 'sede'; did you mean 'seed'"),
        ({"lr_max": 1e-2}, "did you mean 'optimizer.lr_max'"),
        ({"zzz": 1}, "the fields are seed, steps"),
        ({7: 1}, "there is no field '7'"),
        ({"model.d_ff": 128}, "write it as a table, {'model': {'d_ff': 128}}"),
        ({"model": 3}, "model is 3; it must be a table of model's fields"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest(tree: Any, hint: str) -> None:
    """No key of a dict is silently ignored."""
    with pytest.raises(ConfigError) as refused:
        from_dict(tree)
    assert hint in str(refused.value)


def test_value_that_is_not_a_dict_is_refused() -> None:
    """Such a value is, for example, a list read from a file."""
    with pytest.raises(ConfigError, match="is not a table of fields"):
        from_dict([("seed", 1)])  # type: ignore[arg-type]


def test_section_that_is_a_dict_is_refused() -> None:
    """Otherwise it would fail much later."""
    with pytest.raises(ConfigError, match=r"model is .* it must be a Model section"):
        Config(model={"d_model": 64})  # type: ignore[arg-type]


def test_change_refuses_an_unknown_field() -> None:
    """The message gives the nearest field."""
    with pytest.raises(
        ConfigError, match=r"no field 'warmup_steps'; did you mean 'optimizer\.warmup_steps'"
    ):
        change(HEALTHY, "warmup_steps", 0)
