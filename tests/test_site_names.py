"""Labels, styles and legend groups of sites."""

from __future__ import annotations

from probes.panels.site_names import legend_groups, line_styles, short_labels
from testing.long_runs import HEADS, MATRICES


def test_a_shared_ending_is_left_out() -> None:
    assert short_labels(("a.weight", "b.weight")) == ("a", "b")
    assert short_labels(("a.weight", "b.bias")) == ("a.weight", "b.bias")
    assert short_labels(("a.weight",)) == ("a.weight",)


def test_a_long_name_loses_its_middle() -> None:
    (label,) = short_labels(("first" + "x" * 100 + "last",))
    assert len(label) == 40
    assert label.startswith("first")
    assert label.endswith("last")


def test_a_kind_of_matrix_has_one_colour_and_a_layer_has_one_dash() -> None:
    """This applies if there are more kinds than layers."""
    styles = dict(zip(names := short_labels(MATRICES), line_styles(names), strict=True))
    assert styles["blocks.0.attn.q"][0] == styles["blocks.1.attn.q"][0]
    assert styles["blocks.0.attn.q"][1] == styles["blocks.0.ffn.up"][1]
    assert styles["blocks.0.attn.q"][1] != styles["blocks.1.ffn.up"][1]
    assert len(set(styles.values())) == len(MATRICES)


def test_where_there_are_more_layers_than_kinds_a_layer_has_one_colour() -> None:
    styles = line_styles([f"h.{i}.{kind}" for i in range(6) for kind in ("attn", "mlp")])
    assert [colour for colour, _ in styles] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [dash for _, dash in styles] == [0, 1] * 6


def test_a_legend_group_is_a_layer_with_what_its_kinds_share() -> None:
    """The shared part of the names is in the heading. Sites outside all layers have no heading."""
    assert legend_groups(HEADS)[4:6] == [
        ("blocks.1.attn.pattern", "0"), ("blocks.1.attn.pattern", "1"),
    ]  # fmt: skip
    assert legend_groups(("embed", "blocks.0.attn.q", "blocks.0.ffn.up")) == [
        ("", "embed"), ("blocks.0", "attn.q"), ("blocks.0", "ffn.up"),
    ]  # fmt: skip
