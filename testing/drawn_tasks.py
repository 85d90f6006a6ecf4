"""Learning tasks for a small network, each drawn by a random generator from one of 13 families.

N rows    F features of an input    K outputs, classes or tokens of a vocabulary
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from testing.small_net import Array, Net

Values = npt.NDArray[Any]
"""Targets: labels as integers, or numbers."""
Rng = np.random.Generator
Loss = Callable[[Array, Values], tuple[float, Array]]
"""loss(outputs [N, K], targets) returns the mean loss and its gradient with respect to the
outputs."""
HELD_ROWS = 1000


@dataclass(frozen=True)
class Task:
    """What a network learns.

    family        a key of FAMILIES
    x, y          training inputs [N, F] and targets
    held_x, held_y  HELD_ROWS rows of the same distribution
    outputs       K
    loss          the loss that is minimised
    floor         the lowest held-out loss that any model can reach: the loss of the distribution
                  that drew the rows where it is known, otherwise 0
    labelled      whether targets are labels, so that the log can hold an accuracy
    scale         the logged loss is `scale` times `loss`
    penalty       factor on the sum of the squared weights that is added to the training loss
    views         rows of network inputs that each row of x holds
    """

    family: str
    x: Array
    held_x: Array
    y: Values
    held_y: Values
    outputs: int
    loss: Loss
    floor: float = 0.0
    labelled: bool = False
    scale: float = 1.0
    penalty: float = 0.0
    views: int = 1


class TaskNet(Net):
    """A multilayer perceptron with the loss of a task.

    hidden      units of each hidden layer
    last_scale  factor on He initialisation of the last layer
    """

    def __init__(self, task: Task, hidden: Sequence[int], seed: int, last_scale: float) -> None:
        features = task.x.shape[1] // task.views
        super().__init__((features, *hidden, task.outputs), "classes", seed)
        self.params[-2] *= 10 * last_scale
        self.task = task

    def _forward(self, x: Array, rng: Rng | None) -> list[Array]:
        return super()._forward(x.reshape(-1, len(self.params[0])), rng)

    def _loss(self, out: Array, y: Values) -> tuple[float, Array]:
        loss, gradient = self.task.loss(out, y)
        return self.task.scale * loss, self.task.scale * gradient

    def mean_loss(self, x: Array, y: Values, batch: int) -> float:
        """The mean loss over all rows, without dropout and penalty. A contrastive loss depends on
        the rows of its batch, so it is evaluated in batches of the training's size."""
        size = batch if self.task.views > 1 else len(x)
        starts = range(0, max(1, len(x) - size + 1), size)
        return float(np.mean([self.loss(x[i : i + size], y[i : i + size]) for i in starts]))

    def accuracy(self, x: Array, y: Values) -> float:
        """The share of the rows whose label has the highest output."""
        return float((self.outputs(x)[:, : self.task.outputs].argmax(axis=1) == y).mean())


# Losses


def log_softmax(logits: Array) -> Array:
    shifted: Array = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def cross_entropy(out: Array, labels: Values) -> tuple[float, Array]:
    log_p, rows = log_softmax(out), np.arange(len(out))
    gradient = np.exp(log_p)
    gradient[rows, labels] -= 1
    return float(-log_p[rows, labels].mean()), gradient / len(out)


def smoothed(share: float) -> Loss:
    """Cross-entropy whose targets give `share` of the probability to all classes alike."""

    def loss(out: Array, labels: Values) -> tuple[float, Array]:
        log_p, (hard, gradient) = log_softmax(out), cross_entropy(out, labels)
        uniform = (np.exp(log_p) - 1 / out.shape[1]) / len(out)
        value = (1 - share) * hard - share * float(log_p.mean())
        return value, (1 - share) * gradient + share * uniform

    return loss


def divergence(temperature: float) -> Loss:
    """Kullback-Leibler divergence from softened probabilities of a teacher, times the squared
    temperature (Hinton et al. 2015)."""

    def loss(out: Array, probabilities: Values) -> tuple[float, Array]:
        log_q = log_softmax(out / temperature)
        each = probabilities * (np.log(probabilities + 1e-12) - log_q)
        gradient = (np.exp(log_q) - probabilities) * temperature / len(out)
        return float(each.sum() / len(out)) * temperature**2, gradient

    return loss


def squares(out: Array, y: Values) -> tuple[float, Array]:
    return float(((out - y) ** 2).mean()), 2 * (out - y) / out.size


def absolute(out: Array, y: Values) -> tuple[float, Array]:
    return float(np.abs(out - y).mean()), np.sign(out - y) / out.size


def huber(out: Array, y: Values) -> tuple[float, Array]:
    error = out - y
    near = np.abs(error) < 1
    value = np.where(near, error**2 / 2, np.abs(error) - 0.5).mean()
    return float(value), np.clip(error, -1, 1) / out.size


def hinge(out: Array, labels: Values) -> tuple[float, Array]:
    """The mean over rows and classes of max(0, 1 - output of the label + output of the class)."""
    rows = np.arange(len(out))
    margins = np.maximum(0.0, 1 + out - out[rows, labels][:, None])
    margins[rows, labels] = 0
    gradient = (margins > 0) / margins.size
    gradient[rows, labels] = -gradient.sum(axis=1)
    return float(margins.mean()), gradient


def gaussian(out: Array, y: Values) -> tuple[float, Array]:
    """Negative log density of a Gaussian whose mean and log standard deviation are the outputs,
    without its constant; it can be negative."""
    mean, log_sd = out[:, :1], np.clip(out[:, 1:], -5, 5)
    z = (y - mean) * np.exp(-log_sd)
    gradient = np.hstack([-z * np.exp(-log_sd), 1 - z**2]) / len(out)
    return float((log_sd + z**2 / 2).mean()), gradient


def info_nce(temperature: float) -> Loss:
    """Contrastive loss: each row must find its other view among those of the batch (van den Oord
    et al. 2018). The outputs [2 B, K] alternate between the two views."""

    def loss(out: Array, _: Values) -> tuple[float, Array]:
        lengths = np.sqrt((out**2).sum(axis=1, keepdims=True)) + 1e-6
        unit = out / lengths
        first, second = unit[0::2], unit[1::2]
        value, dlogits = cross_entropy(first @ second.T / temperature, np.arange(len(first)))
        dunit = np.empty_like(unit)
        dunit[0::2] = dlogits @ second / temperature
        dunit[1::2] = dlogits.T @ first / temperature
        return value, (dunit - unit * (unit * dunit).sum(axis=1, keepdims=True)) / lengths

    return loss


def of_two_parts(weight: float) -> Loss:
    """Cross-entropy plus `weight` times a squared error. The targets [N, 2] are a label and a
    number; the last output predicts the number."""

    def loss(out: Array, y: Values) -> tuple[float, Array]:
        labelled, dlabels = cross_entropy(out[:, :-1], y[:, 0].astype(np.int64))
        squared, dnumber = squares(out[:, -1:], y[:, 1:])
        return labelled + weight * squared, np.hstack([dlabels, weight * dnumber])

    return loss


# Families


def _rows(rng: Rng) -> int:
    """Most data sets are large enough not to be learnt by heart."""
    return int(10 ** (rng.uniform(2.9, 3.6) if rng.random() < 0.8 else rng.uniform(2, 2.9)))


def _split(rows: int, x: Array, y: Values) -> tuple[Array, Array, Values, Values]:
    return x[:rows], x[rows:], y[:rows], y[rows:]


def _labels(rng: Rng, classes: int, family: str, noise: float, rows: int) -> Task:
    """Overlapping Gaussian clouds, equally frequent or with frequencies that fall as 1 / rank."""
    features = int(rng.integers(4, 17))
    centres = rng.standard_normal((classes, features)) * rng.uniform(0.6, 2.5)
    prior = np.ones(classes) if rng.random() < 0.6 else 1 / np.arange(1, classes + 1)
    prior /= prior.sum()
    clean = rng.choice(classes, rows + HELD_ROWS, p=prior)
    x = centres[clean] + rng.standard_normal((len(clean), features))
    flipped = rng.random(len(clean)) < noise
    labels = np.where(flipped, rng.integers(0, classes, len(clean)), clean)
    logits = x[rows:] @ centres.T - (centres**2).sum(axis=1) / 2 + np.log(prior)
    posterior = (1 - noise) * np.exp(log_softmax(logits)) + noise / classes
    held = posterior[np.arange(HELD_ROWS), labels[rows:]]
    parts = _split(rows, x / x.std(), labels)
    floor = float(-np.log(held).mean())
    return Task(family, *parts, classes, cross_entropy, floor, labelled=True)


def _label_noise(rng: Rng) -> float:
    return float(rng.uniform(0, 0.4)) if rng.random() < 0.5 else 0.0


def binary(rng: Rng) -> Task:
    return _labels(rng, 2, "binary", _label_noise(rng), _rows(rng))


def classes(rng: Rng) -> Task:
    count = int(3 * (1000 / 3) ** rng.random())
    task = _labels(rng, count, "classes", _label_noise(rng), _rows(rng))
    if rng.random() < 0.2:
        return replace(task, loss=smoothed(0.1), floor=0.0)
    return task


def margin(rng: Rng) -> Task:
    count = int(rng.integers(2, 30))
    return replace(_labels(rng, count, "margin", 0.0, _rows(rng)), loss=hinge, floor=0.0)


def regression(rng: Rng, family: str = "regression", noise: float | None = None) -> Task:
    """A smooth function of a few features with noise, in units that differ from task to task."""
    rows, features = _rows(rng), int(rng.integers(2, 12))
    noise = float(10 ** rng.uniform(-1.5, 0)) if noise is None else noise
    weights = rng.standard_normal((features, 6)) / features**0.5
    out = rng.standard_normal((6, 1)) / 6**0.5
    x = rng.standard_normal((rows + HELD_ROWS, features))
    y = 1.8 * np.sin(2 * x @ weights) @ out + noise * rng.standard_normal((len(x), 1))
    parts = _split(rows, x, y)
    kind = rng.integers(4)
    loss, floor = (
        ((squares, noise**2), (squares, noise**2), (absolute, noise * (2 / np.pi) ** 0.5))[kind]
        if kind < 3
        else (huber, 0.0)
    )
    scale = 10 ** rng.uniform(-3, 5) if rng.random() < 0.5 else 1.0
    return Task(family, *parts, 1, loss, float(floor) * scale, scale=scale)


def density(rng: Rng) -> Task:
    task = regression(rng, "density", noise := float(rng.uniform(0.1, 0.8)))
    floor = float(np.log(noise) + 0.5)
    return replace(task, outputs=2, loss=gaussian, floor=floor, scale=1.0)


def next_token(rng: Rng, family: str = "next token") -> Task:
    """The next token after two others. A random network draws it; frequencies fall as 1 / rank.
    The inputs are fixed random embeddings."""
    vocabulary = int(16 * (800 / 16) ** rng.random())
    rows = min(_rows(rng), 400_000 // vocabulary + 400)
    total, width = rows + HELD_ROWS, 12
    frequency = 1 / np.arange(1, vocabulary + 1)
    context = rng.choice(vocabulary, (total, 2), p=frequency / frequency.sum())
    x = rng.standard_normal((vocabulary, width))[context].reshape(total, 2 * width)
    hidden = np.tanh(x @ rng.standard_normal((2 * width, 8)) / width**0.5)
    logits = hidden @ rng.standard_normal((8, vocabulary)) * rng.uniform(0.5, 2)
    log_p = log_softmax(logits + np.log(frequency))
    tokens = (log_p + rng.gumbel(size=log_p.shape)).argmax(axis=1)
    floor = float(-log_p[np.arange(rows, total), tokens[rows:]].mean())
    parts = _split(rows, x, tokens)
    return Task(family, *parts, vocabulary, cross_entropy, floor, labelled=True)


def summed(rng: Rng) -> Task:
    """A loss that is the sum over the tokens of a batch and not their mean."""
    task = next_token(rng, "summed over tokens")
    tokens = float(rng.choice((64, 512, 2048, 16384)))
    return replace(task, scale=tokens, floor=task.floor * tokens)


def denoising(rng: Rng) -> Task:
    """Rows near a low-dimensional subspace, to be recovered from noisy copies."""
    rows, features, rank = _rows(rng), int(rng.integers(10, 40)), int(rng.integers(2, 6))
    basis = rng.standard_normal((rank, features)) / rank**0.5
    y = rng.standard_normal((rows + HELD_ROWS, rank)) @ basis
    x = y + rng.uniform(0.05, 0.6) * rng.standard_normal(y.shape)
    parts = _split(rows, x, y)
    return Task("denoising", *parts, features, squares)


def contrastive(rng: Rng) -> Task:
    """Two noisy views of each row."""
    rows, features = _rows(rng), int(rng.integers(6, 20))
    clean = rng.standard_normal((rows + HELD_ROWS, features))
    noise = rng.uniform(0.2, 0.8)
    views = [clean + noise * rng.standard_normal(clean.shape) for _ in range(2)]
    parts = _split(rows, np.hstack(views), np.zeros(len(clean)))
    loss = info_nce(float(rng.choice((0.1, 0.2, 0.5))))
    return Task("contrastive", *parts, 16, loss, views=2)


def distillation(rng: Rng) -> Task:
    """Probabilities of a random teacher, softened by a temperature."""
    rows, features = _rows(rng), int(rng.integers(6, 20))
    outputs, temperature = int(rng.integers(3, 60)), float(rng.choice((1, 2, 4)))
    x = rng.standard_normal((rows + HELD_ROWS, features))
    hidden = np.tanh(x @ rng.standard_normal((features, 12)) / features**0.5)
    logits = hidden @ rng.standard_normal((12, outputs)) * rng.uniform(0.5, 2)
    parts = _split(rows, x, np.exp(log_softmax(logits / temperature)))
    return Task("distillation", *parts, outputs, divergence(temperature))


def two_parts(rng: Rng) -> Task:
    """A label and a number are predicted from the same features."""
    base = _labels(rng, int(rng.integers(2, 20)), "two parts", _label_noise(rng), _rows(rng))
    weights = rng.standard_normal((base.x.shape[1], 1))

    def with_number(x: Array, y: Values) -> Array:
        return np.hstack(
            [y[:, None], np.tanh(x @ weights) + 0.1 * rng.standard_normal((len(x), 1))]
        )

    weight = float(10 ** rng.uniform(-1, 1))
    return replace(
        base,
        y=with_number(base.x, base.y),
        held_y=with_number(base.held_x, base.held_y),
        outputs=base.outputs + 1,
        loss=of_two_parts(weight),
        floor=base.floor + 0.01 * weight,
        labelled=False,
    )


def regularised(rng: Rng) -> Task:
    """A classification or regression whose logged training loss includes a penalty on the
    weights."""
    task = binary(rng) if rng.random() < 0.3 else classes(rng) if rng.random() < 0.6 else None
    task = task or replace(regression(rng), scale=1.0, floor=0.0)
    return replace(task, family="regularised", penalty=float(10 ** rng.uniform(-4.5, -2.5)))


def fine_tuning(rng: Rng) -> Task:
    """A task whose network has been trained on inputs that are shifted (`drawn_trainings`)."""
    drawn = rng.random()
    task = next_token(rng) if drawn < 0.5 else classes(rng) if drawn < 0.8 else regression(rng)
    return replace(task, family="fine-tuning")


FAMILIES: Mapping[str, Callable[[Rng], Task]] = {
    "regression": regression,
    "density": density,
    "binary": binary,
    "classes": classes,
    "next token": next_token,
    "summed over tokens": summed,
    "denoising": denoising,
    "contrastive": contrastive,
    "margin": margin,
    "distillation": distillation,
    "two parts": two_parts,
    "regularised": regularised,
    "fine-tuning": fine_tuning,
}
