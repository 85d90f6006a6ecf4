"""The zoo: a table of faults that people make when they train a transformer.

A fault changes one leaf of the config or replaces one part of a specimen. Some faults have several
doses, which say how strong they are. The three engineered breaks are not repeated here; they are in
`model.breaks`. `python -m studies.zoo_harm` measures how harmful each fault is."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Literal, get_args

from model import injections as inject
from model.config import HEALTHY, Config, Leaf, change, leaves
from model.fingerprint import fingerprint
from model.train import Specimen, build

Category = Literal[
    "optimisation",
    "initialisation",
    "architecture",
    "backward",
    "data",
    "loss",
    "numerics",
    "capacity",
]
CATEGORIES: tuple[Category, ...] = get_args(Category)

ChangeLeaves = Callable[[Config, float], Config]
ReplacePart = Callable[[Specimen, float], None]

AT_START = 0
"""The first step, at which all proofs run."""
FIRST_EVALUATION = 2
FEW_STEPS = 15
"""One eighth of the run, after the warmup."""
HALFWAY = 60
AT_END = 119
"""The last step of HEALTHY."""


@dataclass(frozen=True)
class Fault:
    """A row of the zoo.

    name        what is wrong, in kebab-case
    category    the part of the training that is wrong
    cause       the cause that a diagnosis should name first. None if no rule that holds for every
                run separates the fault from healthy runs with other settings. Only a comparison
                with healthy runs of the same config can show such a fault
    certain_by  the step of HEALTHY by which a diagnosis should be certain
    remedy      what to change, in words
    diff        the change that makes the fault, in one line
    source      where the fault is described
    apply       function of a config and a dose that returns another config, or of a specimen and a
                dose that replaces one of its parts
    full_dose   the dose at which the fault is as large as in practice
    doses       all doses that are tried, from weak to strong
    also        other causes that count as right
    deployed    whether the fault stays in the model that is used after the training. If so, the
                true loss is computed with the fault, otherwise without it
    """

    name: str
    category: Category
    cause: str | None
    certain_by: int
    remedy: str
    diff: str
    source: str
    apply: ChangeLeaves | ReplacePart
    full_dose: float = 1.0
    doses: tuple[float, ...] = ()
    also: frozenset[str] = frozenset()
    deployed: bool = False

    def __post_init__(self) -> None:
        if self.doses and self.full_dose not in self.doses:
            raise ValueError(f"{self.name}: {self.full_dose} is not among {self.doses}")

    @property
    def family(self) -> bool:
        """Whether only a comparison with a family of healthy runs can show the fault."""
        return self.cause is None

    @property
    def changes_config(self) -> bool:
        """Whether the fault is a changed leaf of the config rather than a replaced part."""
        return "config" in inspect.signature(self.apply).parameters

    def build(self, config: Config = HEALTHY, dose: float | None = None) -> Specimen:
        """A fresh specimen of the config with this fault, at the full dose if none is given."""
        return build_with(config, {self: self.full_dose if dose is None else dose})

    def fingerprint(self, config: Config = HEALTHY, dose: float | None = None) -> str:
        """A hash of the config, of the source of the model and of the fault with its dose."""
        return f"{fingerprint(config)}-{self.own_hash(dose)}"

    def own_hash(self, dose: float | None = None) -> str:
        """SHA-256 of the dose, and of the functions of this module and of `model.injections` that
        make the fault."""
        dose = self.full_dose if dose is None else dose
        parts = (self.name, repr(dose), *sorted(_sources(self.apply)))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def build_with(config: Config, faults: Mapping[Fault, float]) -> Specimen:
    """A fresh specimen of the config with the given faults, each at its dose."""
    parts: list[tuple[ReplacePart, float]] = []
    for fault, dose in faults.items():
        if fault.changes_config:
            config = fault.apply(config, dose)  # type: ignore[assignment, arg-type]
        else:
            parts.append((fault.apply, dose))  # type: ignore[arg-type]
    specimen = build(config)
    for replace_part, dose in parts:
        replace_part(specimen, dose)
    return specimen


def _sources(function: object) -> Iterator[str]:
    """The source of a function, and of all functions of the zoo that it uses."""
    waiting, seen = [function], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen or not inspect.isfunction(one):
            continue
        seen.add(id(one))
        if one.__module__ not in (__name__, inject.__name__):
            continue
        yield inspect.getsource(one)
        for cell in one.__closure__ or ():
            waiting.append(cell.cell_contents)
            if not inspect.isfunction(cell.cell_contents):
                yield repr(cell.cell_contents)
        waiting += [one.__globals__.get(name) for name in _names(one.__code__)]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def leaf_times(name: str) -> ChangeLeaves:
    """Multiply a leaf of the config by the dose."""

    def multiplied(config: Config, dose: float) -> Config:
        value = leaves(config)[name]
        assert not isinstance(value, str)
        return change(config, name, value * dose)

    return multiplied


def set_leaves(**values: Leaf) -> ChangeLeaves:
    """Set leaves of the optimizer's config, whatever the dose."""

    def with_values(config: Config, dose: float) -> Config:  # noqa: ARG001
        for name, value in values.items():
            config = change(config, f"optimizer.{name}", value)
        return config

    return with_values


def set_leaf_to_dose(name: str) -> ChangeLeaves:
    """Set a leaf of the config to the dose."""

    def with_dose(config: Config, dose: float) -> Config:
        return change(config, name, dose)

    return with_dose


def warmup_share(config: Config, dose: float) -> Config:
    """Let the warmup take a share of the run."""
    return change(config, "optimizer.warmup_steps", int(dose * config.steps))


_RECIPE = "Karpathy 2019, A Recipe for Training Neural Networks"
_MISTAKES = "Karpathy 2018, most common neural net mistakes"
_TAXONOMY = "Humbatova et al. 2020, Taxonomy of Real Faults in Deep Learning Systems"
_DEEPFD = "Cao et al. 2022, DeepFD"

_OPTIMISATION = (
    Fault(
        "rate-ten-times-too-high", "optimisation", "lr-too-high", HALFWAY,
        "divide lr_max by the dose", "lr_max *= dose", _TAXONOMY,
        leaf_times("optimizer.lr_max"), 10, (2, 5, 10, 30),
        also=frozenset({"diverged", "no-warmup", "loss-spike", "exploding-gradients"}),
    ),
    Fault(
        "rate-hundred-times-too-low", "optimisation", None, AT_END,
        "multiply lr_max by a hundred", "lr_max *= dose", _DEEPFD,
        leaf_times("optimizer.lr_max"), 0.01, (0.3, 0.1, 0.01),
    ),
    Fault(
        "rate-zero-from-a-step-on", "optimisation", "schedule-ended-early", HALFWAY,
        "let the schedule last as long as the run", "lr = 0 after step dose * steps",
        "PyTorch forum, OneCycleLR with too few total_steps",
        inject.rate_zero_after, 0.25, (0.75, 0.5, 0.25),
        also=frozenset({"schedule-not-followed"}),
    ),
    Fault(
        "rate-stays-at-its-peak", "optimisation", "schedule-not-followed", HALFWAY,
        "call the scheduler after the warmup too", "lr = schedule(min(step, warmup_steps))",
        "PyTorch issue: scheduler.step() left out", inject.rate_stays_at_peak,
    ),
    Fault(
        "schedule-runs-several-times-too-fast", "optimisation", "schedule-not-followed", FEW_STEPS,
        "step the scheduler once per optimizer step", "lr = schedule(dose * step)",
        "Accelerate issue: the scheduler is stepped once per process",
        inject.schedule_runs_faster, 4, (2, 4),
    ),
    Fault(
        "warmup-lasts-the-whole-run", "optimisation", None, AT_END,
        "count the warmup in steps of the optimizer", "warmup_steps = dose * steps",
        "warmup given in epochs or in micro-batches", warmup_share, 1, (0.5, 1),
    ),
    Fault(
        "no-clipping-at-a-hot-rate", "optimisation", "lr-too-high", HALFWAY,
        "clip the gradient norm at 1 and divide the rate by the dose",
        "lr *= dose; clip_norm = inf", "Pascanu et al. 2013",
        inject.rate_times_without_clipping, 10, (3, 10),
        also=frozenset({"diverged", "loss-spike", "exploding-gradients", "schedule-not-followed"}),
    ),
    Fault(
        "clipping-far-too-tight", "optimisation", None, AT_END,
        "clip at a norm that most gradients do not reach", "clip_norm = dose",
        "clip_grad_value_ called in place of clip_grad_norm_",
        set_leaf_to_dose("optimizer.clip_norm"), 1e-7, (1e-3, 1e-5, 1e-6, 1e-7),
    ),
    Fault(
        "epsilon-of-adam-too-large", "optimisation", None, AT_END,
        "use an epsilon of 1e-8", "eps = dose", "TensorFlow, epsilon of 1.0 for Inception",
        set_leaf_to_dose("optimizer.eps"), 0.1, (1e-3, 1e-2, 0.1),
    ),
    Fault(
        "gradients-not-zeroed", "optimisation", "stale-gradient", FEW_STEPS,
        "zero the gradients before each backward pass", "grad += backward()", _MISTAKES,
        inject.gradients_not_zeroed,
    ),
    Fault(
        "gradient-one-step-late", "optimisation", "stale-gradient", FEW_STEPS,
        "wait for the gradient of this step", "optimizer.step uses the gradient of the step before",
        "Chen et al. 2016, Revisiting Distributed Synchronous SGD",
        inject.gradient_of_the_step_before,
        also=frozenset({"wrong-gradient"}),
    ),
    Fault(
        "weight-decay-hundred-times-too-large", "optimisation", None, AT_END,
        "divide the weight decay by the dose", "weight_decay *= dose",
        "Loshchilov and Hutter 2019", leaf_times("optimizer.weight_decay"), 100, (10, 30, 100),
    ),
    Fault(
        "betas-swapped", "optimisation", None, AT_END,
        "order the betas as the optimizer expects them", "beta1, beta2 = 0.95, 0.9",
        "Kingma and Ba 2015", set_leaves(beta1=0.95, beta2=0.9),
    ),
    Fault(
        "momentum-of-a-thousand-steps", "optimisation", None, AT_END,
        "use a beta1 of 0.9", "beta1, beta2 = 0.999, 0.9", "Kingma and Ba 2015",
        set_leaves(beta1=0.999, beta2=0.9),
    ),
    Fault(
        "no-bias-correction", "optimisation", "no-bias-correction", AT_START,
        "divide the moments by 1 - beta^t", "m-hat, v-hat = m, v",
        "Mosbach et al. 2021: BERTAdam leaves out the correction", inject.no_bias_correction,
        also=frozenset({"no-warmup"}),
    ),
    Fault(
        "moments-forgotten-every-few-steps", "optimisation", None, AT_END,
        "make the optimizer once, before the loop", "m = v = 0 every dose steps",
        "a new optimizer in every epoch", inject.moments_forgotten_every, 10, (40, 10),
    ),
    Fault(
        "block-that-no-optimizer-holds", "optimisation", "untrained-parameter", FEW_STEPS,
        "pass all parameters to the optimizer", "update of the last block = 0",
        "modules in a Python list instead of a ModuleList", inject.block_not_held,
    ),
    Fault(
        "embedding-that-no-optimizer-holds", "optimisation", "untrained-parameter", FEW_STEPS,
        "pass all parameters to the optimizer", "update of the embedding = 0",
        "requires_grad left off after a warm start", inject.embedding_not_held,
    ),
    Fault(
        "update-has-the-wrong-sign", "optimisation", "diverged", AT_END,
        "subtract the gradient", "optimizer.step(-lr)", _TAXONOMY, inject.update_reversed,
        also=frozenset({"schedule-not-followed", "exploding-gradients"}),
    ),
    Fault(
        "two-updates-per-batch", "optimisation", "weights-overwritten", AT_START,
        "step the optimizer once per batch", "optimizer.step(); optimizer.step()",
        "Accelerate issue: both the trainer and the user call step",
        inject.two_updates_per_batch, also=frozenset({"schedule-not-followed"}),
    ),
    Fault(
        "old-weights-restored", "optimisation", "weights-overwritten", AT_END,
        "load a checkpoint only before the first step", "weights = weights of step steps / 8",
        "averaged weights that were not swapped back", inject.old_weights_restored_at,
        0.9, (0.5, 0.9), also=frozenset({"loss-spike"}),
    ),
)  # fmt: skip

_INITIALISATION = (
    Fault(
        "weights-start-several-times-too-large", "initialisation", "bad-init", AT_START,
        "initialise at Xavier scale", "init_scale *= dose", "Glorot and Bengio 2010",
        leaf_times("model.init_scale"), 10, (2, 4, 10, 30),
        also=frozenset({"large-activations"}),
    ),
    Fault(
        "weights-start-ten-times-too-small", "initialisation", None, AT_END,
        "initialise at Xavier scale", "init_scale *= dose", "Glorot and Bengio 2010",
        leaf_times("model.init_scale"), 0.1, (0.5, 0.1, 0.01),
    ),
    Fault(
        "embedding-starts-several-times-too-large", "initialisation", "bad-init", AT_START,
        "initialise a tied embedding at the scale of the head", "embed.weight *= dose",
        "nn.Embedding has unit variance, far too much for a tied head",
        inject.embedding_times, 10, (3, 10),
    ),
    Fault(
        "queries-and-keys-start-too-large", "initialisation", "saturated-attention", FEW_STEPS,
        "initialise queries and keys at Xavier scale", "q.weight, k.weight *= dose",
        "Zhai et al. 2023, attention entropy collapse", inject.queries_and_keys_times, 10, (4, 10),
        also=frozenset({"bad-init", "large-activations"}),
    ),
    Fault(
        "one-layer-starts-too-large", "initialisation", "large-activations", AT_START,
        "initialise every layer at Xavier scale", "blocks.0.ffn.down.weight *= dose",
        "He et al. 2015", inject.one_layer_times, 30, (10, 30),
        also=frozenset({"bad-init"}),
    ),
    Fault(
        "weights-start-at-zero", "initialisation", "dead-gradient", AT_START,
        "draw the first weights at random", "weight = 0", _TAXONOMY, inject.first_weights_zero,
        also=frozenset({"vanishing-gradients", "no-updates", "learns-nothing"}),
    ),
    Fault(
        "weights-start-all-equal", "initialisation", None, AT_END,
        "draw the first weights at random", "weight = dose", _TAXONOMY, inject.first_weights_equal,
        0.02,
    ),
)  # fmt: skip

_ARCHITECTURE = (
    Fault(
        "one-head-sees-the-future", "architecture", "mask-leak", AT_START,
        "mask every head", "mask of the first dose heads = ones", "Vaswani et al. 2017",
        inject.heads_see_the_future, 1, (1, 2),
    ),
    Fault(
        "share-of-future-keys-visible", "architecture", "mask-leak", AT_START,
        "mask all keys after the query", "mask |= random < dose", "Vaswani et al. 2017",
        inject.future_keys_visible, 0.1, (0.003, 0.01, 0.03, 0.1, 0.3),
    ),
    Fault(
        "future-visible-in-a-share-of-steps", "architecture", "mask-leak", HALFWAY,
        "mask at every step", "mask = ones in a share dose of the steps", "Vaswani et al. 2017",
        inject.future_visible_in_steps, 0.1, (0.03, 0.1, 0.3),
    ),
    Fault(
        "mask-inverted", "architecture", "mask-leak", AT_START,
        "invert the mask: True means visible here", "mask = ~mask",
        "torch.nn.MultiheadAttention and scaled_dot_product_attention disagree on True",
        inject.mask_inverted, also=frozenset({"blind-attention"}),
    ),
    Fault(
        "mask-shows-the-next-token", "architecture", "mask-leak", AT_START,
        "hide all keys after the query", "tril(diagonal=1)", "off by one", inject.mask_shifted,
    ),
    Fault(
        "mask-applied-after-the-softmax", "architecture", "wrong-softmax", AT_START,
        "mask the scores before the softmax", "softmax(scores) * mask", "Vaswani et al. 2017",
        inject.mask_after_softmax,
        also=frozenset({"mask-leak"}),
    ),
    Fault(
        "softmax-over-queries", "architecture", "wrong-softmax", AT_START,
        "take the softmax over the keys", "softmax(scores, dim=-2)",
        "wrong dim of nn.Softmax, a frequent question on the PyTorch forum",
        inject.softmax_over_queries,
        also=frozenset({"mask-leak"}),
    ),
    Fault(
        "heads-merged-without-transpose", "architecture", "mask-leak", AT_START,
        "transpose heads and positions before the reshape", "y.view(B, T, C)",
        "view instead of transpose(1, 2).reshape, in many copies of minGPT",
        inject.heads_merged_without_transpose,
    ),
    Fault(
        "norm-over-tokens", "architecture", "rows-mixed", AT_START,
        "normalise over the features of a token", "norm(x, axis=0)",
        "Ba et al. 2016: batch statistics in place of those of a token",
        inject.norm_over_tokens, also=frozenset({"mask-leak"}),
    ),
    Fault(
        "mask-hides-the-present-token", "architecture", "blind-attention", AT_START,
        "let the query see its own key", "tril(diagonal=-1)", "off by one", inject.mask_shifted, -1,
        deployed=True,
    ),
    Fault(
        "attention-reaches-back-few-tokens", "architecture", "blind-attention", AT_START,
        "show all keys before the query", "mask &= query - key < dose",
        "Beltagy et al. 2020, with too short a window", inject.past_visible_up_to, 2, (16, 8, 4, 2),
        deployed=True,
    ),
    Fault(
        "attention-adds-nothing", "architecture", "blind-attention", AT_START,
        "add the output of attention to the residual stream", "a = 0", _TAXONOMY,
        inject.attention_adds_nothing, also=frozenset({"blind-to-context", "untrained-parameter"}),
        deployed=True,
    ),
    Fault(
        "no-positions", "architecture", "order-blind", AT_START,
        "rotate queries and keys by their positions", "angles = 0", "Su et al. 2021",
        inject.no_positions, deployed=True,
    ),
    Fault(
        "keys-without-positions", "architecture", "order-blind", AT_START,
        "rotate queries and keys by their positions", "angles of keys = 0", "Su et al. 2021",
        inject.keys_without_positions, deployed=True,
    ),
    Fault(
        "scores-not-divided-by-root-of-width", "architecture", None, AT_END,
        "divide the scores by sqrt(d_head)", "scores = q k", "Vaswani et al. 2017",
        inject.scores_not_scaled, deployed=True,
    ),
    Fault(
        "rows-attend-to-each-other", "architecture", "rows-mixed", AT_START,
        "mask attention between packed rows", "one mask for each group of dose rows",
        "Krell et al. 2021, packing without cross-contamination", inject.rows_joined, 2, (2, 4),
        also=frozenset({"mask-leak"}),
    ),
    Fault(
        "no-residual-around-attention", "architecture", None, AT_END,
        "add the input of attention to its output", "a = attn(norm(x))", "He et al. 2016",
        inject.no_residual_around_attention, deployed=True,
    ),
    Fault(
        "every-token-embedded-alike", "architecture", "blind-to-input", HALFWAY,
        "look up the tokens of the batch", "x = embed(0)", _TAXONOMY,
        inject.every_token_embedded_alike, deployed=True,
        also=frozenset({"blind-attention", "untrained-parameter"}),
    ),
    Fault(
        "dropout-left-on-in-evaluation", "architecture", "random-loss", AT_START,
        "call model.eval() before the evaluation", "dropout(ffn, dose) in every mode",
        _MISTAKES, inject.dropout_always_on, 0.3, (0.1, 0.3, 0.5), deployed=True,
    ),
    Fault(
        "dropout-on-in-evaluation-only", "architecture", "random-loss", AT_START,
        "call model.eval() before the evaluation", "dropout(ffn, dose) if not training",
        "the mode flag inverted", inject.dropout_in_evaluation_only, 0.3, (0.1, 0.3),
        deployed=True, also=frozenset({"train-eval-mismatch"}),
    ),
    Fault(
        "dropout-of-attention-weights", "architecture", "random-loss", AT_START,
        "pass dropout_p=0 in evaluation", "dropout(pattern, dose) in every mode",
        "PyTorch: scaled_dot_product_attention applies dropout in every mode",
        inject.dropout_of_attention, 0.3, (0.1, 0.3), deployed=True,
    ),
)  # fmt: skip

_BACKWARD = (
    Fault(
        "norm-backward-without-mean-term", "backward", "wrong-gradient", AT_START,
        "subtract the mean of the gradient", "dx -= mean(dx) left out", "Ba et al. 2016",
        inject.norm_backward_without_mean,
    ),
    Fault(
        "norm-backward-without-length-term", "backward", "wrong-gradient", AT_START,
        "subtract the part along the normalised input", "dx -= xhat mean(dx xhat) left out",
        "Ba et al. 2016", inject.norm_backward_without_length,
    ),
    Fault(
        "gelu-backward-of-a-relu", "backward", "wrong-gradient", AT_START,
        "differentiate the activation that the forward pass uses", "dx = dy (x > 0)",
        "Hendrycks and Gimpel 2016", inject.gelu_backward_of_relu,
    ),
    Fault(
        "softmax-backward-without-sum", "backward", "wrong-gradient", AT_START,
        "subtract the sum over the keys", "dscores = pattern dpattern", "Vaswani et al. 2017",
        inject.softmax_backward_without_sum,
    ),
    Fault(
        "square-gradients-transposed", "backward", "wrong-gradient", AT_START,
        "write the gradient in the layout of the weight", "attn.o.grad = grad.T",
        "a square matrix hides the wrong layout", inject.square_gradients_transposed,
    ),
    Fault(
        "bias-gradient-averaged-twice", "backward", "wrong-gradient", AT_START,
        "sum the gradient of a bias over the tokens", "bias.grad /= batch_size",
        "Rumelhart et al. 1986", inject.bias_gradient_averaged,
    ),
    Fault(
        "gradient-of-one-layer-negated", "backward", "wrong-gradient", AT_START,
        "check the sign in the layer's backward pass", "ffn.down.grad = -grad", _TAXONOMY,
        inject.gradient_of_one_layer_negated,
    ),
    Fault(
        "residual-dropped-in-backward", "backward", "wrong-gradient", AT_START,
        "add the gradient of the residual stream", "dx += da left out", "He et al. 2016",
        inject.residual_dropped_in_backward,
    ),
    Fault(
        "gradient-stops-below-the-last-block", "backward", "wrong-gradient", AT_START,
        "remove the detach between the blocks", "x = x.detach()", _TAXONOMY,
        inject.gradient_stops_below_last_block,
        also=frozenset({"vanishing-gradients", "untrained-parameter", "dead-gradient"}),
    ),
    Fault(
        "gradient-of-the-tied-head-lost", "backward", "wrong-gradient", AT_START,
        "add both gradients of a tied matrix", "embed.grad = instead of +=",
        "Press and Wolf 2017", inject.head_gradient_overwritten,
    ),
    Fault(
        "positions-not-turned-back", "backward", "wrong-gradient", AT_START,
        "rotate by the conjugate in the backward pass", "rotate(dqk), not by the conjugate",
        "Su et al. 2021", inject.positions_not_turned_back,
    ),
)  # fmt: skip

_DATA = (
    Fault(
        "targets-not-shifted", "data", "wrong-data", AT_START,
        "use the next token as the target", "targets = tokens", _TAXONOMY,
        inject.targets_not_shifted, also=frozenset({"mask-leak"}),
    ),
    Fault(
        "targets-shifted-by-two", "data", "wrong-data", AT_START,
        "shift in the data or in the model, not in both", "targets = tokens[2:]",
        "Transformers: labels are shifted inside the model", inject.targets_shifted_by_two,
    ),
    Fault(
        "labels-shuffled-in-a-share-of-places", "data", "wrong-data", AT_START,
        "keep inputs and labels in the same order", "targets[share dose] permuted",
        "Zhang et al. 2017", inject.labels_shuffled, 0.5, (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    ),
    Fault(
        "inputs-replaced-in-a-share-of-places", "data", "wrong-data", AT_START,
        "check what the tokenizer and the collator return", "tokens[share dose] replaced",
        _TAXONOMY, inject.inputs_replaced, 0.3, (0.05, 0.3),
    ),
    Fault(
        "one-batch-for-ever", "data", "one-batch", FEW_STEPS,
        "draw a new batch at every step", "batch = next(iter(loader)) at every step", _RECIPE,
        inject.one_batch_for_ever, also=frozenset({"wrong-data", "overfit"}),
    ),
    Fault(
        "one-row-fills-each-batch", "data", "one-batch", FEW_STEPS,
        "draw different rows", "batch = row repeated batch_size times",
        "one index is drawn and then broadcast to the batch", inject.one_row_fills_each_batch,
        also=frozenset({"wrong-data"}),
    ),
    Fault(
        "few-rows-in-training", "data", "one-batch", HALFWAY,
        "train on the whole split", "train = train[:dose]", _RECIPE, inject.few_rows,
        0.1, (0.5, 0.25, 0.1), also=frozenset({"wrong-data", "overfit"}),
    ),
    Fault(
        "rows-never-shuffled", "data", "wrong-data", FEW_STEPS,
        "draw a new order in every epoch", "order = arange", _TAXONOMY, inject.rows_in_order,
    ),
    Fault(
        "validation-rows-in-training", "data", "validation-in-training", HALFWAY,
        "split the data before any other step, and by group", "train += share dose of val",
        "Kapoor and Narayanan 2023, leakage", inject.validation_in_training,
        0.5, (0.1, 0.25, 0.5, 0.9),
    ),
    Fault(
        "validated-on-training-rows", "data", "validation-in-training", AT_START,
        "evaluate on rows that are held out", "val = train",
        "Kapoor and Narayanan 2023, leakage", inject.validated_on_training_rows,
        also=frozenset({"wrong-data"}),
    ),
)  # fmt: skip

_LOSS = (
    Fault(
        "loss-summed-over-tokens", "loss", "wrong-loss", AT_START,
        "divide by the number of predicted tokens", "losses.sum()", _TAXONOMY, inject.loss_summed,
        also=frozenset({"summed-loss"}),
    ),
    Fault(
        "loss-divided-by-ten", "loss", "wrong-loss", AT_START,
        "divide by the number of predicted tokens once", "loss *= dose",
        "gradient accumulation with a wrong denominator (2024)", inject.loss_times, 0.1, (0.5, 0.1),
    ),
    Fault(
        "padding-counted-in-the-loss", "loss", "wrong-loss", AT_START,
        "leave padding out of the loss (ignore_index)", "targets of padding = 0",
        "Transformers: labels of padding must be -100", inject.padding_counted,
        also=frozenset({"train-eval-mismatch", "wrong-data"}),
    ),
    Fault(
        "labels-smoothed-in-training-only", "loss", "wrong-loss", AT_START,
        "compare losses without label smoothing", "label_smoothing = dose",
        "Szegedy et al. 2016", inject.labels_smoothed, 0.3, (0.1, 0.3),
        also=frozenset({"train-eval-mismatch"}),
    ),
    Fault(
        "softmax-taken-twice", "loss", "wrong-loss", AT_START,
        "pass logits to the loss", "cross_entropy(softmax(logits))", _MISTAKES,
        inject.softmax_taken_twice,
    ),
)  # fmt: skip

_NUMERICS = (
    Fault(
        "one-weight-becomes-nan", "numerics", "non-finite", FEW_STEPS,
        "find the operation that made the first NaN", "ffn.up.weight[0, 0] = nan at a step",
        "Micikevicius et al. 2018", inject.weight_becomes_nan, 0.1,
        also=frozenset({"weights-overwritten"}),
    ),
    Fault(
        "one-gradient-overflows", "numerics", "non-finite", FEW_STEPS,
        "skip steps with an infinite gradient", "grad[0] = inf at a step",
        "Micikevicius et al. 2018", inject.gradient_overflows, 0.1,
    ),
    Fault(
        "weights-kept-in-bfloat16", "numerics", "weights-overwritten", AT_START,
        "keep master weights in float32", "weights = bfloat16(weights)",
        "Kalamkar et al. 2019", inject.weights_rounded_to_bfloat16,
        also=frozenset({"no-updates"}),
    ),
    Fault(
        "poisoned-batches", "numerics", "loss-spike", AT_END,
        "check the rows of these batches", "targets = 0 during dose steps",
        "Chowdhery et al. 2022, spikes of PaLM", inject.batches_poisoned, 10, (1, 3, 10),
        also=frozenset({"wrong-data"}),
    ),
)  # fmt: skip

_CAPACITY = (
    Fault(
        "share-of-units-dead", "capacity", "dead-neurons", FIRST_EVALUATION,
        "start biases at 0", "ffn.up.bias[share dose] = -30", "Lu et al. 2019, dying ReLU",
        inject.units_dead, 0.95, (0.25, 0.5, 0.75, 0.95),
    ),
)  # fmt: skip

ZOO: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        *_OPTIMISATION, *_INITIALISATION, *_ARCHITECTURE, *_BACKWARD, *_DATA, *_LOSS, *_NUMERICS,
        *_CAPACITY,
    )
}  # fmt: skip
"""Name of a fault -> its row."""
