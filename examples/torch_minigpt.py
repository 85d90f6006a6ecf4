"""A plain PyTorch loop with a `Recorder`: a small GPT learns the characters of made-up sentences.

python examples/torch_minigpt.py                        train; write runs/gpt.jsonl; print the
                                                        diagnosis
python examples/torch_minigpt.py --warmup 0 --lr 0.1    the same, from the first step at a rate that
                                                        is far too high

B rows    T positions    C d_model    H heads    V characters
"""

import argparse
import math
import random
from pathlib import Path

import torch
from torch import nn

from probes import Recorder, diagnose

D_MODEL, HEADS, LAYERS, T = 64, 4, 2, 32
BATCH, STEPS, EVAL_EVERY, CLIP_NORM = 16, 160, 4, 1.0
VISIBLE = torch.ones(T, T, dtype=torch.bool).tril()


def sentences(count, rng):
    """Random sentences such as "the old cat sees a dog."."""
    nouns = ["cat", "dog", "bird", "child", "teacher", "farmer"]
    text = []
    for _ in range(count):
        subject, object_ = (
            " ".join(
                [
                    rng.choice(["the", "a"]),
                    *rng.sample(["old", "small", "tired"], rng.randrange(2)),
                    noun,
                ]
            )
            for noun in rng.sample(nouns, 2)
        )
        text.append(f"{subject} {rng.choice(['sees', 'hears', 'follows', 'likes'])} {object_}. ")
    return "".join(text)


class Block(nn.Module):
    """x [B, T, C] -> the same shape: causal attention, then an FFN, each after a norm and added to
    x."""

    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(D_MODEL), nn.LayerNorm(D_MODEL)
        self.qkv, self.out = (
            nn.Linear(D_MODEL, 3 * D_MODEL, bias=False),
            nn.Linear(D_MODEL, D_MODEL, bias=False),
        )
        self.up, self.down = nn.Linear(D_MODEL, 4 * D_MODEL), nn.Linear(4 * D_MODEL, D_MODEL)
        self.pattern = nn.Softmax(dim=-1)  # a module, so that a hook can receive its output

    def forward(self, x):
        B = len(x)
        q, k, v = (
            self.qkv(self.norm1(x)).view(B, T, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        )  # [B, H, T, C / H] each
        scores = q @ k.transpose(-1, -2) / math.sqrt(D_MODEL // HEADS)
        weights = self.pattern(scores.masked_fill(~VISIBLE, -math.inf))
        x = x + self.out((weights @ v).transpose(1, 2).reshape(B, T, D_MODEL))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class MiniGPT(nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.embed, self.position = (
            nn.Embedding(vocab_size, D_MODEL),
            nn.Parameter(torch.zeros(T, D_MODEL)),
        )
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(D_MODEL), nn.Linear(D_MODEL, vocab_size, bias=False)

    def forward(self, tokens):
        x = self.embed(tokens) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def attach(model, recorder):
    """Attach hooks that hand outputs to the recorder, which reduces them at once."""

    def on_output(module, training, hand_over):
        module.register_forward_hook(
            lambda _, __, out: hand_over(out) if model.training == training else None
        )

    on_output(model.embed, True, lambda out: recorder.activation("embed", out))
    for name, block in model.blocks.named_children():
        site = f"blocks.{name}"
        on_output(block, True, lambda out, site=site: recorder.activation(site, out))
        on_output(
            block.up, False, lambda out, site=site: recorder.pre_activation(f"{site}.up", out)
        )
        on_output(
            block.pattern,
            False,
            lambda out, site=site: recorder.attention(f"{site}.pattern", out, VISIBLE),
        )


def train(path, lr=1e-2, warmup=20, init_scale=1.0, seed=0):
    """Train, write the record to `path`, and return it."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    text = sentences(800, rng)
    characters = sorted(set(text))
    data = torch.tensor([characters.index(c) for c in text])
    train_data, val_data = data[: len(data) * 19 // 20], data[len(data) * 19 // 20 :]

    model = MiniGPT(len(characters))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(init_scale)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_then_cosine(step, warmup)
    )
    layers = {
        "embed": model.embed,
        **{f"blocks.{i}": block for i, block in enumerate(model.blocks)},
    }
    matrices = {
        name: p for name, p in model.named_parameters() if p.ndim == 2 and name != "position"
    }

    provenance = {"name": "gpt", "seed": seed}
    with Recorder(
        path, overwrite=True, provenance=provenance, **facts_of(len(characters), matrices)
    ) as recorder:
        attach(model, recorder)
        for step in range(STEPS):
            loss = loss_of(model, train_data, batch_at(train_data))
            optimizer.zero_grad()
            loss.backward()
            for name, layer in layers.items():
                recorder.gradient(name, *(p.grad for p in layer.parameters()))
            grad_norm = nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)

            before = {name: p.detach().clone() for name, p in matrices.items()}
            lr_now = schedule.get_last_lr()[0]
            optimizer.step()
            schedule.step()
            for name, p in matrices.items():
                recorder.update(name, before[name], p)

            evaluation = {}
            if (step + 1) % EVAL_EVERY == 0:
                evaluation = evaluate(model, train_data, val_data)
                for name, p in matrices.items():
                    recorder.weight(name, p)
            recorder.log(step, loss=loss, lr=lr_now, grad_norm=grad_norm, **evaluation)
    return recorder.record


def facts_of(vocab_size, matrices):
    """What detectors may use besides the signals (docs/record.md)."""
    return {
        "vocab_size": vocab_size,
        "total_steps": STEPS,
        "eval_every": EVAL_EVERY,
        "schedule": "cosine",
        "clip_norm": CLIP_NORM,
        "fan_in": {name: p.shape[1] for name, p in matrices.items() if name != "embed.weight"},
    }


def warmup_then_cosine(step, warmup):
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup))) / 2


def batch_at(data):
    return torch.randint(len(data) - T, (BATCH,))


def loss_of(model, data, starts):
    """Mean cross-entropy over the windows that begin at `starts`, in nats per character."""
    windows = data[starts[:, None] + torch.arange(T + 1)]
    logits = model(windows[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def evaluate(model, train_data, val_data):
    """Losses over the validation split, and over as much of the training split, in windows that do
    not overlap."""
    model.eval()
    starts = torch.arange(0, len(val_data) - T, T)
    losses = {
        "train_loss": loss_of(model, train_data, starts),
        "val_loss": loss_of(model, val_data, starts),
    }
    model.train()
    return losses


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Train a small GPT in PyTorch and diagnose it.")
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="where to write (default: %(default)s)"
    )
    parser.add_argument(
        "--lr", type=float, default=1e-2, help="highest learning rate (default: %(default)s)"
    )
    parser.add_argument(
        "--warmup", type=int, default=20, help="steps of warmup (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)

    diagnosis = diagnose(train(options.out / "gpt.jsonl", options.lr, options.warmup))
    print(diagnosis)
    return 0 if diagnosis.verdict == "healthy" else 1


if __name__ == "__main__":
    raise SystemExit(main())
