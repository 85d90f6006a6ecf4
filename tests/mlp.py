"""A specimen that shares no code with MiniGPT: a two-layer classifier of points."""

from types import SimpleNamespace

import numpy as np


class Module:
    def __init__(self, weight=None):
        self.weight, self.forward_hooks = weight, ()

    def __call__(self, x, *, run):
        output = run(x)
        for hook in self.forward_hooks:
            hook(self, (x,), {}, output)
        return output


class Param:
    def __init__(self, data):
        self.data, self.grad, self.backward_hooks = data, np.zeros_like(data), ()

    def fill(self, grad):
        self.grad[...] = grad
        for hook in self.backward_hooks:
            hook(self, self.grad)


class MLP:
    """Points in the plane, labelled by quadrant; plain gradient descent on the mean
    cross-entropy."""

    def __init__(self, total_steps=30, lr=0.5, scale=1.0):
        rng = np.random.default_rng(0)
        self.points = rng.standard_normal((64, 2))
        self.labels = (self.points[:, 0] > 0) * 2 + (self.points[:, 1] > 0)
        self.params = {
            "hidden.weight": Param(scale * rng.standard_normal((16, 2))),
            "out.weight": Param(scale * 0.1 * rng.standard_normal((4, 16))),
        }
        hidden, out = (Module(param) for param in self.params.values())
        self.model = SimpleNamespace(sites={"hidden": hidden, "out": out}, training=False)
        self.total_steps, self.lr = total_steps, lr

    def facts(self):
        sites = {
            "hidden": "layer",
            "out": "layer",
            "hidden.weight": "matrix",
            "out.weight": "matrix",
        }
        return {
            "vocab_size": 4,
            "total_steps": self.total_steps,
            "schedule": "constant",
            "sites": sites,
        }

    def loss(self):
        w1, w2 = (param.data for param in self.params.values())
        hidden, out = self.model.sites.values()
        self.h = hidden(self.points, run=lambda x: np.maximum(x @ w1.T, 0))
        logits = out(self.h, run=lambda h: h @ w2.T)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self.p = np.exp(log_p)
        return float(-log_p[np.arange(64), self.labels].mean())

    def steps(self):
        w1, w2 = self.params.values()
        for index in range(self.total_steps):
            self.model.training = True
            loss = self.loss()
            self.model.training = False
            dlogits = (self.p - np.eye(4)[self.labels]) / 64
            w2.fill(dlogits.T @ self.h)
            w1.fill((dlogits @ w2.data * (self.h > 0)).T @ self.points)
            norm = float(np.sqrt(sum((p.grad**2).sum() for p in self.params.values())))
            updates = {name: -self.lr * p.grad for name, p in self.params.items()}
            for name, param in self.params.items():
                param.data += updates[name]
            evaluation = {"train_loss": self.loss()} if index % 3 == 2 else None
            yield SimpleNamespace(
                index=index,
                loss=loss,
                lr=self.lr,
                grad_norm=norm,
                batch_ids=range(64),
                params={name: p.data for name, p in self.params.items()},
                grads={name: p.grad for name, p in self.params.items()},
                updates=updates,
                evaluation=evaluation,
            )
