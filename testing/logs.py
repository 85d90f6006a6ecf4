"""Small logs in the formats of several trainers, and helpers to write and read logs in tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from probes.record import Record

STATE: dict[str, Any] = {
    "best_global_step": None,
    "best_metric": 1.3862963,
    "best_model_checkpoint": "out/checkpoint-20",
    "epoch": 0.9411764705882353,
    "eval_steps": 20,
    "global_step": 40,
    "is_hyper_param_search": False,
    "is_local_process_zero": True,
    "is_world_process_zero": True,
    "log_history": [
        {"epoch": 0.23529411764705882, "grad_norm": 2.8125,
         "learning_rate": 4.500000000000001e-05, "loss": 2.1735, "step": 10},
        {"epoch": 0.47058823529411764, "grad_norm": 1.2265625, "learning_rate": 3e-05,
         "loss": 1.6012, "step": 20},
        {"epoch": 0.47058823529411764, "eval_loss": 1.5862963199615479, "eval_runtime": 2.0138,
         "eval_samples_per_second": 22.671, "eval_steps_per_second": 1.424, "step": 20},
        {"epoch": 0.7058823529411765, "grad_norm": 1.1015625, "learning_rate": 1.5e-05,
         "loss": 1.4877, "step": 30},
        {"epoch": 0.9411764705882353, "grad_norm": 0.98, "learning_rate": 0.0, "loss": 1.4411,
         "step": 40},
        {"epoch": 0.9411764705882353, "eval_loss": 1.3862963199615479, "eval_runtime": 2.0967,
         "eval_samples_per_second": 22.65, "eval_steps_per_second": 1.422, "step": 40},
        {"epoch": 0.9411764705882353, "step": 40, "total_flos": 336149463158784.0,
         "train_loss": 1.6758, "train_runtime": 91.8, "train_samples_per_second": 14.8,
         "train_steps_per_second": 0.44},
    ],
    "logging_steps": 10,
    "max_steps": 40,
    "num_train_epochs": 1,
    "save_steps": 20,
    "stateful_callbacks": {"TrainerControl": {"args": {"should_log": False}, "attributes": {}}},
    "total_flos": 336149463158784.0,
    "train_batch_size": 8,
    "trial_name": None,
}  # fmt: skip
TRAINER_STATE = json.dumps(STATE, indent=2, sort_keys=True) + "\n"

TRAINER_LOG = """\
{"current_steps": 10, "total_steps": 40, "loss": 2.1735, "lr": 4.5e-05, "epoch": 0.24, \
"percentage": 25.0, "elapsed_time": "0:00:22", "remaining_time": "0:01:06"}
{"current_steps": 20, "total_steps": 40, "loss": 1.6012, "lr": 3e-05, "epoch": 0.47, \
"percentage": 50.0, "elapsed_time": "0:00:44", "remaining_time": "0:00:44"}
{"current_steps": 20, "total_steps": 40, "eval_loss": 1.5863, "epoch": 0.47, "percentage": 50.0, \
"elapsed_time": "0:00:46", "remaining_time": "0:00:46"}
{"current_steps": 40, "total_steps": 40, "loss": 1.4411, "lr": 0.0, "epoch": 0.94, \
"percentage": 100.0, "elapsed_time": "0:01:31", "remaining_time": "0:00:00"}
"""

LIGHTNING = """\
epoch,lr-Adam,step,train_loss_epoch,train_loss_step,val_loss
,0.001,9,,,
0,,9,,2.3058958053588867,
,0.001,19,,,
0,,19,,1.9120283126831055,
0,,24,,,1.8012
0,,24,2.0511,,
,0.0005,29,,,
1,,29,,1.7,
1,,49,,,1.61
1,,49,1.72,,
"""

KERAS = """\
epoch,accuracy,learning_rate,loss,val_accuracy,val_loss
0,0.4361,0.001,1.5626,0.5454,1.2789
1,0.5769,0.001,1.1985,0.6012,1.1323
2,0.6308,0.0005,1.0476,0.6421,1.0214
"""

KERAS_HISTORY = (
    '{"loss": [1.5626, 1.1985, 1.0476], "val_loss": [1.2789, null, 1.0214], '
    '"lr": [0.001, 0.001, 0.0005]}'
)


def csv_of(**columns: Sequence[object]) -> str:
    """A CSV with these columns, which must be of equal length."""
    rows = zip(*columns.values(), strict=True)
    return "\n".join(",".join(map(str, row)) for row in (tuple(columns), *rows)) + "\n"


def lines_of(*rows: dict[str, Any]) -> str:
    """JSON lines, one per row."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def written(folder: Path, text: str | bytes, name: str = "log") -> Path:
    """Write a file and return its path. The default name does not tell its format."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def points(record: Record, signal: str) -> dict[int, float]:
    """Step -> value, for the steps at which the signal was measured."""
    steps, values = record.series(signal)
    return dict(zip(steps.tolist(), values.tolist(), strict=True))


def reader_of(record: Record) -> dict[str, Any]:
    """What the record's provenance says about how its log was read."""
    return dict(record.provenance["reader"])


def curve(length: int) -> list[float]:
    """A loss that falls from 4, with noise that differs from step to step."""
    return [4.0 / (1 + 5 * i / length) + 0.01 * (i * 7919 % 13) for i in range(length)]
