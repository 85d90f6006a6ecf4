"""What the proofs cost: the CPU time of each proof in one watched run of HEALTHY.

    python -m studies.proof_cost

Each proof is timed by itself at all steps at which it runs, with the copies of weights and
gradients that it needs; then all of them together. The share is that of the CPU time of the same
run recorded without proofs. Measure on a machine that does nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time

from threadpoolctl import threadpool_limits

from model import HEALTHY, Config, build
from probes import Recorder
from probes.common.markdown import markdown_table
from probes.proofs import PROOFS, Prover
from probes.record.signals import SIGNALS
from probes.recording.watch import watched_steps

TOGETHER = "all together"


def measure(config: Config = HEALTHY) -> tuple[dict[str, float], float]:
    """Return the CPU seconds of each proof in the whole run by its name, and the CPU seconds of the
    same run without proofs."""
    specimen = build(config)
    hooked = (
        *specimen.model.sites.values(),
        *specimen.params.values(),
        *(module for module, _ in specimen.data_set().fed.values()),
    )
    provers = {
        proof.name: Prover(specimen, hooked, config.steps, proof.signals) for proof in PROOFS
    }
    provers[TOGETHER] = Prover(specimen, hooked, config.steps)
    seconds = dict.fromkeys(provers, 0.0)

    def prepare(step: int) -> None:
        for name, prover in provers.items():
            begin = process_time()
            prover.prepare(step)
            seconds[name] += process_time() - begin

    without_proofs = [signal for signal in SIGNALS if signal.cadence != "proof"]
    recorder = Recorder(**specimen.facts())
    with threadpool_limits(1, "blas"):
        prepare(0)
        spent_before, start = sum(seconds.values()), process_time()
        for step in watched_steps(specimen, recorder, without_proofs):
            for name, prover in provers.items():
                begin = process_time()
                prover.readings(step)
                seconds[name] += process_time() - begin
            prepare(step.index + 1)
        elapsed = process_time() - start
    return seconds, elapsed - (sum(seconds.values()) - spent_before)


def table(seconds: dict[str, float], run: float) -> str:
    """One row per proof, as Markdown."""
    rows: list[Sequence[str]] = [
        (name, f"{1000 * spent:.0f} ms", f"{100 * spent / run:.1f} %")
        for name, spent in seconds.items()
    ]
    return "\n".join(markdown_table(("proof", "CPU time", f"share of {run:.2f} s"), rows))


if __name__ == "__main__":
    print(table(*measure()))
