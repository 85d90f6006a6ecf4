"""Real trainings of small networks. Each seed draws a task, an optimizer, a schedule and a course,
and optionally one fault. A rule without detectors decides whether the training went well."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from testing.drawn_tasks import FAMILIES, Rng, Task, TaskNet
from testing.small_net import Adam, Array, Schedule, Sgd, constant, cosine, restarts

Ids = npt.NDArray[np.int64]

EVALUATIONS = 20
"""Full evaluations at equal distances; one more follows the last update."""
TRAINING_ROWS = 1000
"""A full evaluation covers all held-out rows and at most this many training rows."""
LAST_EVALUATIONS = 3
"""The end of a training is the mean of this many full evaluations."""
MAX_WORK = 2e8
"""Multiplications of one training: rows of a batch times weights times steps."""
MAX_UPDATES = 1e7
"""Weights times steps of one training."""
COURSES = {
    "plain": 0.72,
    "early stopping": 0.1,
    "resumed": 0.08,
    "log starts after resuming": 0.02,
    "harder inputs": 0.04,
    "more rows": 0.04,
}
"""Course of a training -> share of the trainings. The last two are curricula: from some step on,
inputs get more noise, or rows are added that the training had not seen."""


@dataclass(frozen=True)
class Plan:
    """How a network is trained on a task.

    seed          of the network and the batches
    hidden        units of each hidden layer
    steps         planned number of updates
    batch         rows per batch
    optimizer     "SGD", "momentum", "Adam" or "AdamW"
    schedule      name of the schedule
    lr            step -> learning rate
    clip          largest gradient norm; 0 for no clipping
    decay         weight decay
    dropout       share of the hidden units that are dropped in training
    augmentation  standard deviation of the noise that is added to each batch's inputs
    course        a key of COURSES
    turn          the step at which a curriculum turns or a run is resumed
    shift         distance of the inputs of the pre-training; 0 for no pre-training
    last_scale    factor on the initialisation of the last layer
    fault         name of a fault in `drawn_faults`; "" for none
    before        before(step, net) is called ahead of each update and may change the network
    """

    task: Task
    seed: int
    hidden: tuple[int, ...]
    steps: int
    batch: int
    optimizer: str
    schedule: str
    lr: Schedule
    clip: float = 0.0
    decay: float = 0.0
    dropout: float = 0.0
    augmentation: float = 0.0
    course: str = "plain"
    turn: int = 0
    shift: float = 0.0
    last_scale: float = 0.1
    fault: str = ""
    before: Callable[[int, TaskNet], None] = field(default=lambda step, net: None)

    @property
    def resumed(self) -> bool:
        """Whether a checkpoint is loaded in the middle, without the optimizer's state."""
        return self.course in ("resumed", "log starts after resuming")

    @property
    def first_step(self) -> int:
        """The first step that the log may hold."""
        return self.turn if self.course == "log starts after resuming" else 0


@dataclass(frozen=True)
class Training:
    """What happened in a training.

    loss, lr, grad_norm, accuracy   [S], one value per update; the loss of the batch before the
                  X
    evaluated     step -> validation loss and accuracy on a part of the held-out rows, after it
    full_train, full_held   losses of the full evaluations, which take place ahead of EVALUATIONS
                  updates at equal distances, the first one included, and after the last update
    """

    plan: Plan
    loss: Array
    lr: Array
    grad_norm: Array
    accuracy: Array
    evaluated: dict[int, tuple[float, float]]
    full_train: Array
    full_held: Array


# Drawing a plan


def draw_schedule(rng: Rng, peak: float, steps: int) -> tuple[str, Schedule]:
    warmup = int(steps * rng.choice((0, 0, 0.02, 0.05, 0.1)))
    cycle = max(2, steps // int(rng.integers(2, 6)))
    falls = sorted(rng.uniform(0.3, 0.95, int(rng.integers(1, 4))))
    one_cycle = cosine(peak, steps, max(2, int(0.3 * steps)))

    def steps_down(step: int) -> float:
        return float(peak * 0.1 ** sum(step >= fall * steps for fall in falls))

    def linear(step: int) -> float:
        left = 1 - max(0, step - warmup) / max(1, steps - warmup)
        return peak * min(left, (step + 1) / max(1, warmup))

    def inverse_root(step: int) -> float:
        start = max(10, warmup)
        return float(peak * min((step + 1) / start, (start / (step + 1)) ** 0.5))

    def exponential(step: int) -> float:
        return float(peak * 0.05 ** (step / steps))

    def sawtooth(step: int) -> float:
        return float(peak * (0.1 + 0.9 * abs(1 - 2 * (step % cycle) / cycle)))

    schedules: list[tuple[str, float, Schedule]] = [
        ("constant", 0.26, constant(peak)),
        ("cosine", 0.18, cosine(peak, steps, warmup)),
        ("linear", 0.18, linear),
        ("step decays", 0.1, steps_down),
        ("one cycle", 0.08, one_cycle),
        ("warm restarts", 0.08, restarts(peak, cycle)),
        ("inverse root", 0.04, inverse_root),
        ("exponential", 0.05, exponential),
        ("triangular cycles", 0.03, sawtooth),
    ]
    name, _, schedule = schedules[
        rng.choice(len(schedules), p=[share for _, share, _ in schedules])
    ]
    return name, schedule


def draw_peak(rng: Rng, task: Task, optimizer: str) -> float:
    """A learning rate of the usual size. A loss that is a sum or has other units needs a rate of
    plain gradient descent that is smaller by its scale; the rate of Adam does not depend on it."""
    if optimizer.startswith("Adam"):
        return float(10 ** rng.uniform(-3.2, -1.9))
    number = task.loss.__name__ in ("squares", "absolute", "huber", "gaussian")
    low, high = (-2.2, -1.1) if number else (-1.8, -0.4)
    rate = 10 ** rng.uniform(low, high) / task.scale
    if task.family == "two parts":
        rate *= 0.3
    return float(rate * (0.15 if optimizer == "momentum" else 1.0))


def draw_plan(seed: int, attempt: int = 0) -> Plan:
    """Draw a training without a fault. The family depends on the seed alone, the rest on the
    attempt as well."""
    family = str(np.random.default_rng([seed, 21]).choice(list(FAMILIES)))
    rng = np.random.default_rng([seed, attempt, 22])
    task = FAMILIES[family](rng)
    hidden = (int(rng.choice((16, 32, 48))),) * int(rng.integers(1, 3))
    batch = min(2 ** int(rng.integers(1, 10)), len(task.x) // 2)
    batch = min(max(batch, 8), 64) if task.views > 1 else batch
    weights = hidden[0] * (task.x.shape[1] // task.views + task.outputs + hidden[0])
    affordable = min(MAX_WORK / (weights * batch * task.views), MAX_UPDATES / weights)
    exponent = rng.uniform(1.8, 3.3) if rng.random() < 0.85 else rng.uniform(3.3, 4)
    steps = int(min(10**exponent, max(60, affordable)))
    optimizer = str(rng.choice(("SGD", "momentum", "Adam", "AdamW"), p=(0.15, 0.25, 0.3, 0.3)))
    peak = draw_peak(rng, task, optimizer)
    tuned = family == "fine-tuning"
    schedule, lr = draw_schedule(rng, peak * (0.3 if tuned else 1.0), steps)
    course = str(rng.choice(list(COURSES), p=list(COURSES.values())))
    return Plan(
        task,
        seed,
        hidden,
        steps,
        batch,
        optimizer,
        schedule,
        lr,
        clip=task.scale * float(rng.choice((0.5, 1, 5))) if rng.random() < 0.3 else 0.0,
        decay=float(10 ** rng.uniform(-3, -1)) if optimizer == "AdamW" else 0.0,
        dropout=float(rng.choice((0.1, 0.2, 0.3, 0.5))) if rng.random() < 0.25 else 0.0,
        augmentation=float(rng.uniform(0.1, 0.5)) if rng.random() < 0.2 else 0.0,
        course=course,
        turn=int(rng.uniform(0.3, 0.7) * steps),
        shift=float(rng.uniform(0.3, 1.2)) if tuned else 0.0,
        last_scale=float(rng.choice((0.01, 0.1, 0.5))),
    )


# Training


def make_optimizer(plan: Plan) -> Sgd | Adam:
    if plan.optimizer.startswith("Adam"):
        return Adam()
    return Sgd(0.9 if plan.optimizer == "momentum" else 0.0)


def flatten(net: TaskNet) -> Array:
    """Return all parameters as one array, of which the network's parameters become views: one
    array is updated faster than many."""
    weights = np.concatenate([param.ravel() for param in net.params])
    ends = np.cumsum([param.size for param in net.params])[:-1]
    shapes = [param.shape for param in net.params]
    parts = zip(np.split(weights, ends), shapes, strict=True)
    net.params = [part.reshape(shape) for part, shape in parts]
    return weights


def pretrain(net: TaskNet, plan: Plan, rng: Rng) -> None:
    """Train on inputs that are shifted in a random direction."""
    task, optimizer = plan.task, Adam()
    direction = rng.standard_normal(task.x.shape[1])
    direction *= plan.shift / float(np.sqrt(np.mean(direction**2)))
    for _ in range(400):
        ids = rng.integers(0, len(task.x), 64)
        _, grads = net.loss_and_grads(task.x[ids] + direction, task.y[ids], rng)
        for param, update in zip(net.params, optimizer.updates(grads), strict=True):
            param -= 0.005 * update


class Batches:
    """Draws batches from a permutation of the rows that is new in each epoch."""

    def __init__(self, rows: int, size: int, rng: Rng) -> None:
        self.size, self.rng, self.place = size, rng, 0
        self.order = rng.permutation(rows)

    def draw(self) -> Ids:
        if self.place + self.size > len(self.order):
            self.order, self.place = self.rng.permutation(self.order), 0
        ids = self.order[self.place : self.place + self.size]
        self.place += self.size
        return ids


def train(
    plan: Plan,
    evaluate_after: Collection[int] = (),
    val_rows: int = 500,
    with_accuracy: bool = False,
) -> Training:
    """Train a network.

    evaluate_after  steps after which the validation loss is computed, on the first `val_rows`
                    held-out rows
    with_accuracy   whether accuracies are computed, where the targets are labels
    """
    task, rng = plan.task, np.random.default_rng([plan.seed, 23])
    net = TaskNet(task, plan.hidden, plan.seed, plan.last_scale)
    if plan.shift:
        pretrain(net, plan, rng)
    net.dropout = plan.dropout
    with np.errstate(all="ignore"):
        return _loop(
            plan, net, rng, frozenset(evaluate_after), val_rows, with_accuracy and task.labelled
        )


def _loop(
    plan: Plan,
    net: TaskNet,
    rng: Rng,
    evaluate_after: frozenset[int],
    val_rows: int,
    with_accuracy: bool,
) -> Training:
    task, optimizer = plan.task, make_optimizer(plan)
    seen = len(task.x) // 2 if plan.course == "more rows" else len(task.x)
    batches = Batches(seen, min(plan.batch, seen), rng)
    saved_at = plan.turn - max(1, plan.steps // 50)
    weights = flatten(net)
    saved = weights.copy()
    moments = {int(at) for at in np.linspace(plan.first_step, plan.steps, EVALUATIONS + 1)}
    check_every, patience = max(1, plan.steps // 40), int(rng.integers(3, 9))
    best, checks_since_best = np.inf, 0
    columns: list[tuple[float, float, float, float]] = []
    full: list[tuple[float, float]] = []
    evaluated: dict[int, tuple[float, float]] = {}

    def evaluate_fully() -> None:
        full.append(
            (
                net.mean_loss(task.x[:TRAINING_ROWS], task.y[:TRAINING_ROWS], plan.batch),
                net.mean_loss(task.held_x, task.held_y, plan.batch),
            )
        )

    for step in range(plan.steps):
        plan.before(step, net)
        if step in moments:
            evaluate_fully()
        if plan.resumed and step == saved_at:
            saved = weights.copy()
        if plan.resumed and step == plan.turn:
            weights[:], optimizer = saved, make_optimizer(plan)
        if plan.course == "more rows" and step == plan.turn:
            batches = Batches(len(task.x), plan.batch, rng)
        ids = batches.draw()
        x, y = task.x[ids], task.y[ids]
        noise = plan.augmentation
        if plan.course == "harder inputs" and step >= plan.turn:
            noise += 0.4
        if noise:
            x = x + noise * rng.standard_normal(x.shape)
        loss, grads = net.loss_and_grads(x, y, rng)
        if task.penalty:
            loss += task.penalty * float(sum((p * p).sum() for p in net.params[::2]))
            for i in range(0, len(grads), 2):
                grads[i] = grads[i] + 2 * task.penalty * net.params[i]
        gradient = np.concatenate([grad.ravel() for grad in grads])
        norm = float(gradient @ gradient) ** 0.5
        accuracy = net.accuracy(x, y) if with_accuracy else np.nan
        if plan.clip and norm > plan.clip:
            gradient *= plan.clip / norm
        lr = plan.lr(step)
        update = optimizer.updates([gradient])[0]
        weights -= lr * (update + plan.decay * weights if plan.decay else update)
        columns.append((loss, lr, norm, accuracy))
        if step in evaluate_after:
            x, y = task.held_x[:val_rows], task.held_y[:val_rows]
            accuracy = net.accuracy(x, y) if with_accuracy else np.nan
            evaluated[step] = net.mean_loss(x, y, plan.batch), accuracy
        if plan.course == "early stopping" and (step + 1) % check_every == 0:
            now = net.mean_loss(task.held_x[:val_rows], task.held_y[:val_rows], plan.batch)
            best, checks_since_best = (now, 0) if now < best else (best, checks_since_best + 1)
            if checks_since_best >= patience:
                break
    evaluate_fully()
    loss_column, lr_column, norm_column, accuracy_column = np.array(columns).T
    full_train, full_held = np.array(full).T
    return Training(
        plan,
        loss_column,
        lr_column,
        norm_column,
        accuracy_column,
        evaluated,
        full_train,
        full_held,
    )


# The rule


MAX_END = 1.2
"""A training that went well ends below this multiple of its lowest loss."""
MAX_GIVEN_BACK = 0.2
"""A training that went well gives back less than this share of its fall. For a loss that stays
high, such as that of a language model, this asks for more than MAX_END does."""
NEGLIGIBLE_RISE = 0.01
"""Share of the fall. A rise that is smaller than this does not count. It matters only for losses
near 0 and below, where a multiple of the lowest loss means little."""
MIN_FALL = 0.1
"""The held-out loss must fall by this share of what the task allows."""


def end_of(losses: Array) -> float:
    return float(losses[-LAST_EVALUATIONS:].mean())


def why_not_healthy(training: Training) -> str:
    """Say in what a training failed; "" if it went well.

    It went well if three conditions hold. Both full losses, on the training rows and on the
    held-out rows, end below MAX_END times their lowest value. Both end less than MAX_GIVEN_BACK of
    their fall above it. The held-out loss fell by at least MIN_FALL of the distance between its
    first value and the floor of the task. A rise by less than NEGLIGIBLE_RISE of the fall is no
    rise. The end is the mean of the last three full evaluations. Where no floor is known it is 0,
    which asks for more. The log and the detectors play no part."""
    if not all(np.isfinite(each).all() for each in (training.full_train, training.full_held)):
        return "not finite"
    for losses in (training.full_held, training.full_train):
        lowest, first = float(losses.min()), float(losses[0])
        rise, fall = end_of(losses) - lowest, first - lowest
        if rise <= NEGLIGIBLE_RISE * fall:
            continue
        if rise >= (MAX_END - 1) * lowest:
            return "ends above 1.2 times its lowest"
        if rise >= MAX_GIVEN_BACK * fall:
            return "gives back a fifth of its fall"
    if fall_of(training) < MIN_FALL:
        return "learnt too little"
    return ""


def fall_of(training: Training) -> float:
    """The fall of the held-out loss, from its first to its lowest value, as a share of the fall
    down to the task's floor."""
    first = float(training.full_held[0])
    possible = first - training.plan.task.floor
    return (first - float(training.full_held.min())) / possible if possible > 0 else 0.0
