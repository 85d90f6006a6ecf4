"""How to make a trainer log more often, for logs that are too short to judge."""

from __future__ import annotations

from collections.abc import Mapping

HOW: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"loss", "learning_rate", "epoch"}),
        "Hugging Face: set logging_steps to a tenth of its value",
    ),
    (frozenset({"train_loss_step"}), "Lightning: set Trainer(log_every_n_steps=...) lower"),
    (frozenset({"train_loss_epoch"}), "Lightning: log the loss with on_step=True as well"),
    (frozenset({"wps", "wpb"}), "fairseq: set --log-interval lower"),
    (
        frozenset({"epoch", "loss", "val_loss"}),
        "Keras: log each batch by a callback",
    ),
)
"""Columns of a log by which a trainer is recognised -> what to set. The first row whose columns are
all in the log applies."""


def how_to_log_more(reader: object) -> str:
    """What to set in the trainer that wrote a log, so that it logs more often; "" if the trainer is
    not known.

    reader   the entry "reader" of a record's provenance. A record may come from anywhere, so this
             may be of any type
    """
    if not isinstance(reader, Mapping):
        return ""
    mapped, ignored = reader.get("mapped"), reader.get("ignored")
    columns = {
        str(column).strip()
        for found in (mapped, ignored, [reader.get("step")])
        if isinstance(found, Mapping | list)
        for column in found
    }
    return next((how for names, how in HOW if names <= columns), "")
