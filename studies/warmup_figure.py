"""Draw docs/warmup.svg, what training without warmup costs, from the table of the sweep in
docs/why.md.

python -m studies.warmup_figure
"""

from __future__ import annotations

import re
from math import log10, sqrt
from pathlib import Path
from typing import NamedTuple

import pygal
from pygal.style import Style

from model import HEALTHY
from probes.diagnosis.detectors.first_update import MAX_RELATIVE_CHANGE
from testing.marker_blocks import read_block

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCK = "sweep of lr_max"
ROW = re.compile(
    r"^\| ([\d.]+) \| [\d.]+ \| [+\d.%-]+ \| ([+-]\d+)%, ([+-]\d+)% \| \w+ \|$", re.MULTILINE
)
TICKS = (0.005, 0.007, 0.01, 0.014, 0.02, 0.028, 0.04)
STYLE = Style(
    background="white", plot_background="white", foreground="#333", foreground_strong="#333",
    foreground_subtle="#ccc", colors=("#1f5fbf", "#c2410c", "#b3261e", "#59636f"),
    font_family="sans-serif", label_font_size=13, legend_font_size=14, title_font_size=15,
    opacity="1", opacity_hover="1", transition="none", guide_stroke_color="#ddd",
    guide_stroke_dasharray="none",
)  # fmt: skip


class Harm(NamedTuple):
    """How much higher the train loss ends without warmup, in percent: the least and the mean over
    ten seeds."""

    lr_max: float
    least: int
    mean: int


def read_table() -> list[Harm]:
    """The rows of the sweep. Raises MissingBlockError; raises SystemExit when there are no rows."""
    table = read_block((DOCS / "why.md").read_text(encoding="utf-8"), BLOCK)
    rows = [Harm(float(lr), int(least), int(mean)) for lr, least, mean in ROW.findall(table)]
    if not rows:
        raise SystemExit("docs/why.md holds no rows of the sweep of lr_max; make sweep writes them")
    return rows


def lr_at_limit() -> float:
    """The peak learning rate at which Adam's first update changes the output of the widest layer
    by MAX_RELATIVE_CHANGE times itself.

    Adam's first update is lr in every entry, and a weight is sqrt(2 / (fan-in + fan-out)) on
    average (Xavier)."""
    fan_in, fan_out = HEALTHY.model.d_ff, HEALTHY.model.d_model
    return MAX_RELATIVE_CHANGE * sqrt(2 / (fan_in + fan_out)) / sqrt(fan_in)


def draw(rows: list[Harm]) -> bytes:
    top = max(row.mean for row in rows)
    chart = pygal.XY(
        width=760, height=400, style=STYLE, js=(), show_dots=True, dots_size=3,
        stroke_style={"width": 2}, title="Final train loss without warmup, over that with it",
        x_title="lr_max", legend_at_bottom=True, legend_at_bottom_columns=2, show_x_guides=False,
        truncate_legend=-1, x_label_rotation=0,
        x_labels=[{"value": log10(lr), "label": f"{lr:g}"} for lr in TICKS],
        y_labels=[
            {"value": share, "label": f"{share:+d} %" if share else "0 %"}
            for share in range(0, top + 10, 20)
        ],
    )  # fmt: skip
    chart.add("mean of ten seeds", [(log10(row.lr_max), row.mean) for row in rows])
    chart.add(
        "least of ten seeds",
        [(log10(row.lr_max), row.least) for row in rows],
        stroke_style={"dasharray": "6,4"},
    )
    for name, lr in (
        (f"first update at its limit ({MAX_RELATIVE_CHANGE:g})", lr_at_limit()),
        ("lr_max of HEALTHY", HEALTHY.optimizer.lr_max),
    ):
        chart.add(f"{name}: {lr:.2g}", [(log10(lr), 0), (log10(lr), top)], show_dots=False)
    chart.uuid = "warmup"
    drawn = chart.render()
    assert isinstance(drawn, bytes)
    return re.sub(rb"<!--.*?-->", b"", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    (DOCS / "warmup.svg").write_bytes(draw(read_table()))
