"""The training loop, as a generator of steps. It does not depend on whether hooks are attached.

The same config gives the same bits on the same machine with the same package versions. The seed
alone decides the split, the initial weights and the batches. Training uses one BLAS thread, because
two threads add in another order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from model import corpus
from model.attention import layout_of
from model.batches import Batch, draw
from model.config import Config, ConfigError
from model.corpus import (
    ALPHABET,
    CORPUS_SHA256,
    GROUPS,
    SEQUENCES,
    Split,
    encode,
    split,
    verb_token_mask,
)
from model.entropy import Ladder, ladder
from model.evaluation import Evaluation
from model.gpt import MiniGPT, initialise, param_shapes
from model.layers import Module
from model.optimizer import AdamW, learning_rate
from model.params import Array, Params, read_only_views

Ids = npt.NDArray[np.int64]

SCHEDULE = "warmup-cosine"


@dataclass(frozen=True)
class Step:
    """One finished step. The arrays are read-only views, which the next step overwrites.

    loss        mean loss of the batch, before the update
    grad_norm   before clipping
    updates     what was added to the parameters
    evaluation  losses after the update, at every `eval_every`-th step and at the last one
    """

    index: int
    loss: float
    lr: float
    grad_norm: float
    batch_ids: Ids
    params: Mapping[str, Array]
    grads: Mapping[str, Array]
    updates: Mapping[str, Array]
    evaluation: Mapping[str, float] | None


class DataSet(NamedTuple):
    """What corpus, split and config say that the model is fed
    (`probes.recording.protocols.DataSet`)."""

    rows: list[Ids]  # of the corpus, [T + 1] each
    train: Ids
    val: Ids
    batch_size: int
    fed: Mapping[str, tuple[Module, int]]


class Specimen:
    """A MiniGPT with its data and its optimizer, ready to train.

    Each part of the training can be replaced on one specimen, by setting an attribute of it or of
    its parts: the source of the batches, `batch`, `schedule`, `evaluate`, the optimizer, and
    `forward` or `backward` of a layer. `model.zoo` makes its faults in this way."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.split: Split = split(config.seed, config.data.val_cells_per_class)
        _fits_the_corpus(config, len(self.split.train))
        self.params = Params(param_shapes(config.model), config.model.dtype)
        initialise(self.params, config.model, np.random.default_rng([config.seed, 1]))
        self.model = MiniGPT(config.model, self.params)
        self.evaluate = Evaluation(self.split, config.model.attention_mask)
        self._batches = draw(
            self.split.train, config.data.batch_size, np.random.default_rng([config.seed, 2])
        )
        self._optimizer = AdamW(self.params, config.optimizer)
        self._started = False

    def steps(self) -> Iterator[Step]:
        """Train to the end and yield each step. Raises RuntimeError when this specimen was trained
        before."""
        if self._started:
            raise RuntimeError("this specimen has been trained; build another one to train again")
        self._started = True
        threads = ThreadpoolController()
        params, grads, updates = (
            read_only_views(self.params.views(flat))
            for flat in (self.params.flat, self.params.flat_grad, self._optimizer.update)
        )
        for index in range(self.config.steps):
            # Never held across a yield: runs that take turns would undo each other's limits.
            with threads.limit(limits=1, user_api="blas"):
                batch = self.batch(next(self._batches))
                lr = self.schedule(index)
                loss = self.model.loss_and_gradient(batch.tokens, batch.targets, batch.layout)
                grad_norm = self._optimizer.step(lr)
                evaluation = self.evaluate(self.model) if self._evaluates_at(index) else None
            yield Step(index, loss, lr, grad_norm, batch.ids, params, grads, updates, evaluation)

    def batch(self, ids: Ids) -> Batch:
        """The batch with which a training step feeds the given rows of the corpus."""
        return Batch.of(ids, self.config.model.attention_mask)

    def schedule(self, index: int) -> float:
        """The learning rate of a step."""
        return learning_rate(index, self.config.steps, self.config.optimizer)

    def _evaluates_at(self, index: int) -> bool:
        return (index + 1) % self.config.eval_every == 0 or index == self.config.steps - 1

    # What proofs need (`probes.proofs.base.Subject`)

    def weights(self) -> dict[str, Array]:
        """Copies of all parameters."""
        return self.params.views(self.params.flat.copy())

    def set_weights(self, values: Mapping[str, Array]) -> None:
        """Write all parameters."""
        for name, view in self.params.views(self.params.flat).items():
            view[...] = values[name]

    def gradients(self) -> dict[str, Array]:
        """Copies of the gradients of all parameters."""
        return self.params.views(self.params.flat_grad.copy())

    def set_gradients(self, values: Mapping[str, Array]) -> None:
        """Write the gradients of all parameters."""
        for name, view in self.params.views(self.params.flat_grad).items():
            view[...] = values[name]

    def loss_at(self, ids: Ids) -> float:
        """Mean loss that a training step reports for the given rows of the corpus, in nats per
        predicted token. Forward pass only."""
        batch = self.batch(ids)
        return self.model.loss(batch.tokens, batch.targets, batch.layout)

    def gradient_at(self, ids: Ids) -> float:
        """The loss of `loss_at`; writes the gradient of every parameter."""
        batch = self.batch(ids)
        return self.model.loss_and_gradient(batch.tokens, batch.targets, batch.layout)

    def backward_order(self, ids: Ids) -> list[str]:
        """The names of all parameters in the order in which a backward pass fills their gradients.
        Those that it does not fill come last."""
        filled: list[str] = []
        hooks = {name: param.backward_hooks for name, param in self.params.items()}
        for param in self.params.values():
            param.backward_hooks = (lambda own, _: filled.append(own.name),)
        try:
            self.gradient_at(ids)
        finally:
            for name, param in self.params.items():
                param.backward_hooks = hooks[name]
        return list(dict.fromkeys([*filled, *self.params]))

    def evaluated(self, ids: Ids) -> float:
        """Mean loss of the given rows as an evaluation computes it, in nats per predicted token."""
        batch = Batch.of(ids, self.config.model.attention_mask)
        losses = self.model.token_losses(batch.tokens, batch.targets, batch.layout)
        return float(losses.mean(dtype=np.float64))

    def tokens(self, ids: Ids) -> list[Ids]:
        """The given rows as the corpus holds them, whatever the model is fed: [T + 1] each."""
        return [encode(SEQUENCES[i].text) for i in ids]

    def logits_of(self, rows: Sequence[Ids]) -> list[Array]:
        """Logits [T, V] of each row of tokens [T]. The rows pass the model as one batch, with the
        mask of the training."""
        lengths = np.array([len(row) for row in rows])
        logits, _ = self.model(
            np.concatenate(rows), layout_of(lengths, self.config.model.attention_mask)
        )
        return [part.copy() for part in np.split(logits, np.cumsum(lengths)[:-1])]

    def attention_of(self, row: Ids) -> dict[str, Array]:
        """Attention weights [H, T, T] of each layer for one row of tokens [T], which passes the
        model alone, with the mask of the training. Hooks of the pass are left out."""
        found: dict[str, Array] = {}
        patterns = {
            f"blocks.{i}.attn.pattern": block.attn.pattern
            for i, block in enumerate(self.model.blocks)
        }
        hooks = {name: pattern.forward_hooks for name, pattern in patterns.items()}
        for name, pattern in patterns.items():
            pattern.forward_hooks = (partial(_keep_first_row, found, name),)
        try:
            self.logits_of([row])
        finally:
            for name, pattern in patterns.items():
                pattern.forward_hooks = hooks[name]
        return found

    def held_out(self) -> Ids:
        """Ids of the rows of the validation split."""
        return self._declared_split().val

    def data_set(self) -> DataSet:
        """What the model should be fed."""
        declared = self._declared_split()
        return DataSet(
            rows=[encode(sequence.text) for sequence in SEQUENCES],
            train=declared.train,
            val=declared.val,
            batch_size=self.config.data.batch_size,
            fed={"tokens": (self.model.embed, 0), "targets": (self.model.cross_entropy, 1)},
        )

    def _declared_split(self) -> Split:
        """The split of the config, drawn anew: `self.split` is what this specimen trains with."""
        return corpus.split(self.config.seed, self.config.data.val_cells_per_class)

    def logits(self, ids: Ids) -> Array:
        """Logits [N, V] of the packed tokens of the given rows of the corpus."""
        batch = Batch.of(ids, self.config.model.attention_mask)
        return self.model(batch.tokens, batch.layout)[0].copy()

    def facts(self) -> dict[str, Any]:
        """What a detector may know besides the signals. No fact depends on a leaf that a break
        changes."""
        config = self.config
        predicted = sum(len(SEQUENCES[i].text) - 1 for i in self.split.train) / len(
            self.split.train
        )
        return {
            "vocab_size": config.model.vocab_size,
            "causal": True,
            "total_steps": config.steps,
            "eval_every": config.eval_every,
            "schedule": SCHEDULE,
            "dropout": 0.0,
            "lr_max": config.optimizer.lr_max,
            "lr_min_ratio": config.optimizer.lr_min_ratio,
            "optimizer": {
                "name": "adamw",
                "beta1": config.optimizer.beta1,
                "beta2": config.optimizer.beta2,
            },
            "clip_norm": config.optimizer.clip_norm,
            "tokens_per_batch": predicted * config.data.batch_size,
            "ladder": _ladder(
                config.seed, config.data.val_cells_per_class, config.model.vocab_size
            ),
            "sites": self._kinds(),
            "fan_in": {
                name: param.data.shape[1]
                for name, param in self.params.items()
                if param.data.ndim == 2
            },
        }

    def _kinds(self) -> dict[str, str]:
        kinds = {"embed": "layer"}
        for i in range(self.config.model.n_layers):
            block = f"blocks.{i}"
            kinds |= {
                f"{block}.attn.pattern": "attention",
                f"{block}.ffn.up": "ffn",
                block: "layer",
            }
        kinds["norm"] = "layer"
        return kinds | {
            name: "matrix" for name, param in self.params.items() if param.data.ndim == 2
        }

    def provenance(self) -> dict[str, Any]:
        """Where the record comes from, for people."""
        return {
            "seed": self.config.seed,
            "config": dataclasses.asdict(self.config),
            "corpus_sha256": CORPUS_SHA256,
        }


def _keep_first_row(
    found: dict[str, Array], name: str, _module: Any, _args: Any, _kwargs: Any, output: Array
) -> None:
    found[name] = output[0].copy()


def build(config: Config) -> Specimen:
    """A fresh specimen, ready to train."""
    return Specimen(config)


def _fits_the_corpus(config: Config, n_train: int) -> None:
    if config.model.vocab_size < len(ALPHABET):
        raise ConfigError(
            f"config: model.vocab_size is {config.model.vocab_size}; "
            f"it must be at least {len(ALPHABET)}, the symbols of the corpus"
        )
    if config.data.batch_size > n_train:
        raise ConfigError(
            f"config: data.batch_size is {config.data.batch_size}; "
            f"it must be at most {n_train}, the training rows"
        )


@lru_cache(maxsize=64)
def _ladder(seed: int, val_cells_per_class: int, vocab_size: int) -> Ladder:
    parts = split(seed, val_cells_per_class)
    tokens = {
        name: [encode(SEQUENCES[i].text) for i in ids] for name, ids in parts._asdict().items()
    }
    masks = {
        name: [verb_token_mask(SEQUENCES[i]) for i in ids] for name, ids in parts._asdict().items()
    }
    return ladder(
        tokens["train"],
        tokens["val"],
        vocab_size,
        groups=[GROUPS[i] for i in parts.train],
        train_masks=masks["train"],
        val_masks=masks["val"],
    )
