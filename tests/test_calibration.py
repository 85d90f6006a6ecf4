"""The calibration: a range of seeds is published once, published figures carry the version that was
judged, and every outcome is counted."""

import ast
import dataclasses
import json
import shutil
from math import inf
from pathlib import Path

import pytest

from calibration import conditions, digest, history, judge, publish, sampler, tables
from calibration.conditions import Planned, plan
from calibration.health import reasons_against
from calibration.outcome import Outcome
from calibration.outcome import judge as judge_record
from calibration.progress import Progress
from calibration.tally import LABELLED, UNLABELLED, grouped, summary, tally
from model import BREAKS, HEALTHY
from model.config import leaves
from model.seeds import CHOOSING_SEEDS
from probes.plugin import cache_key
from testing.marker_blocks import read_block
from tests.outcomes import OUTCOMES, entry, outcome_of
from tests.records import hand_made, thorough

ROOT = Path(__file__).parents[1]
HOSTILE = "<script>alert(1)</script>"


# A range of seeds is published once


def test_seeds_that_judged_other_detectors_are_refused():
    """The message says how to judge the kept runs and how to judge a fresh range."""
    used = [entry(digest="a", seeds=(1000, 1459))]
    with pytest.raises(history.SeedsUsedError, match=r"1000-1459 .*--again.* JUDGING_FROM .*1459"):
        history.refuse_used_seeds(used, "b", (1459, 1918))
    history.refuse_used_seeds(used, "a", (1000, 1459))
    history.refuse_used_seeds(used, "b", (1460, 1919))


def test_used_seeds_are_refused_before_any_record_is_read(tmp_path, monkeypatch):
    """Reading their results would use them."""
    history.save([entry(digest="other", seeds=conditions.seed_range("judging"))], tmp_path)
    monkeypatch.setattr(judge, "find_trained", lambda runs: pytest.fail("read"))
    with pytest.raises(history.SeedsUsedError):
        judge.judge_fresh(tmp_path)


@pytest.fixture
def trained(tmp_path, monkeypatch) -> Path:
    """A project with two trained runs, one of them published as overfit by other detectors."""
    steps = [{"step": i, "loss": 4.0 - 0.1 * i, "val_loss": 4.0 - 0.1 * i} for i in range(40)]
    header = {"probes_record": 1, "facts": {"ladder": {"val": {"ngram": 1.0}}}}
    record = "".join(
        json.dumps(line) + "\n" for line in (header, *steps, {"end": {"complete": True}})
    )
    runs = []
    for seed in (1000, 1001):
        path = tmp_path / f"{seed}.jsonl"
        path.write_text(record, encoding="utf-8")
        runs.append((Planned(f"healthy-{seed}", "healthy", HEALTHY), path))
    monkeypatch.setattr(judge, "find_trained", lambda *args, **options: (runs, []))
    monkeypatch.setattr(judge, "_commit", lambda: "abc")
    published = (outcome_of("healthy-1000", "healthy"), outcome_of("healthy-1001", "overfit"))
    history.save([entry(*published, digest="old", seeds=(10, 20))], tmp_path)
    (tmp_path / "README.md").write_text(
        "<!-- accuracy -->\nx\n<!-- end of accuracy -->\n", encoding="utf-8"
    )
    return tmp_path


def test_judging_writes_results_page_and_figures(trained):
    """The earlier result stays in the history."""
    judge.judge_fresh(trained)
    old, new = history.load(trained)
    assert (old.digest, [one.said for one in new.outcomes]) == ("old", ["healthy", "healthy"])
    assert "at version abc (" in (trained / publish.PAGE).read_text(encoding="utf-8")
    assert "| healthy | 2 | 2 |" in (trained / publish.README).read_text(encoding="utf-8")


def test_kept_runs_are_judged_again_and_nothing_is_published(trained):
    """The runs of which the present detectors say something else are listed."""
    before = (trained / history.FILE).read_bytes(), (trained / publish.README).read_bytes()
    *_, changed, counted = judge.judge_again(trained)
    assert [line.split()[:4] for line in changed.splitlines()[3:]] == [
        ["healthy-1001", "none", "overfit", "healthy"]
    ]
    assert counted.endswith("The published figures are of version abc (2030-01-01).")
    assert before == (
        (trained / history.FILE).read_bytes(),
        (trained / publish.README).read_bytes(),
    )


def test_a_record_of_an_older_recorder_is_found_by_its_config(tmp_path, monkeypatch):
    """A record of another config is not found."""
    run = Planned("healthy-1", "healthy", dataclasses.replace(HEALTHY, seed=1))
    monkeypatch.setattr(judge, "FOLDER", tmp_path)
    for name, config in (("healthy-1-aa", run.config), ("healthy-1-bb", HEALTHY)):
        header = {"provenance": {"config": dataclasses.asdict(config)}}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(header) + "\n", encoding="utf-8")
    assert judge.find_trained([run]) == ([], [run])
    found = judge.find_trained([run], any_recorder=True)
    assert found == ([(run, tmp_path / "healthy-1-aa.jsonl")], [])


def test_the_history_keeps_every_result_once(tmp_path):
    """A result that is obtained again keeps its first date; another one is added."""
    old, other = entry(*OUTCOMES), entry(*OUTCOMES[:-1])
    again = dataclasses.replace(old, date="2031-01-01", commit="def")
    entries = history.with_entry(history.with_entry((old,), again), other)
    history.save(entries, tmp_path)
    assert history.load(tmp_path) == (old, other)


# The version of published figures


def test_figures_are_marked_when_the_detectors_changed_since():
    """The README and the page name the version at which the runs were judged."""
    mark = "These figures are of version abc (2030-01-01); detectors changed since."
    entries = [entry(*OUTCOMES, digest="a")]
    assert publish.readme_block(entries, "b").startswith(f"**{mark}**")
    assert mark in publish.html(entries, "b")
    for text in (publish.readme_block(entries, "a"), publish.html(entries, "a")):
        assert "changed since" not in text
        assert "version abc (2030-01-01)" in text


def test_the_readme_shows_the_last_result_with_or_without_the_mark():
    """`python -m calibration.publish` writes the block. A changed detector does not make this test
    fail: it is skipped until the mark is written."""
    entries, present = history.load(), digest.digest()
    shown = read_block((ROOT / publish.README).read_text(encoding="utf-8"), publish.BLOCK)
    marked, unmarked = (publish.readme_block(entries, by) for by in ("other", entries[-1].digest))
    assert shown in (marked, unmarked)
    if shown != publish.readme_block(entries, present):
        pytest.skip(
            f"README.md shows figures of version {entries[-1].version}, and detectors changed "
            "since; `python -m calibration.publish` says so there"
        )


def test_nothing_is_claimed_before_anything_is_judged():
    """A new project has no judged runs, so its page states no figure."""
    assert publish.readme_block([], "a") == publish.NOT_JUDGED


def test_the_page_escapes_text_of_records_and_lists_every_range():
    """The page must escape evidence, because it contains names from records."""
    faulty = outcome_of("healthy-1000", HOSTILE, headline=HOSTILE, silent={HOSTILE: HOSTILE})
    page = publish.html([entry(), entry(faulty, digest="b", seeds=(2000, 2459))], "b")
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<td>1000-1459</td>" in page


# The hash of the detectors


@pytest.mark.parametrize(
    ("file", "added", "same"),
    [
        ("diagnosis/curves.py", "ADDED = 1", False),
        ("diagnosis/curves.py", "# a comment", True),
        ("record/record.py", "ADDED = 1", False),
        ("record/builder.py", "ADDED = 1", True),
    ],
    ids=["detectors", "comment", "record", "builder"],
)
def test_the_hash_covers_the_code_that_decides_a_diagnosis(
    tmp_path, monkeypatch, file, added, same
):
    """A change of comments, or of the code that fills a record, does not change the hash."""
    package = tmp_path / "probes"
    shutil.copytree(cache_key.HERE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(cache_key, "HERE", package)
    before = digest.digest()
    with open(package / file, "a", encoding="utf-8") as source:
        source.write(f"\n{added}\n")
    assert (digest.digest() == before) is same


def test_the_hash_covers_only_diagnosis_and_records():
    """A panel may change without a new calibration."""
    folders = {path.relative_to(cache_key.HERE).parts[0] for path in digest.judging_files()}
    assert folders == {"common", "diagnosis", "record"}


# Which runs are trained


def test_choosing_and_judging_share_nothing():
    """Seeds and sampled configs for choosing thresholds are never used for judging. Each judging
    range draws other configs. Names of runs are unique, and the longest run is first."""
    configs = []
    for phase, first in (("choosing", 0), ("judging", 1000), ("judging", 2000)):
        runs = plan(phase, first)
        assert len({run.name for run in runs}) == len(runs)
        assert runs[0].work == max(run.work for run in runs)
        judging = phase == "judging"
        assert all((run.config.seed >= max(first, 100)) is judging for run in runs)
        sampled = sampler.sample(phase, first)
        configs += [dataclasses.replace(each.config, seed=0) for each in sampled]
    assert len(set(configs)) == len(configs)
    assert conditions.seed_range("choosing") == (CHOOSING_SEEDS[0], CHOOSING_SEEDS[-1])


def test_the_judging_stream_is_the_one_that_was_fixed():
    """Its first config, so that a change of the ranges is noticed."""
    drawn = {name: leaves(sampler.sample("judging", 1000)[0].config)[name] for name in judge.DRAWN}
    assert drawn == {
        "model.d_model": 96,
        "model.n_layers": 2,
        "model.n_heads": 1,
        "data.batch_size": 32,
        "optimizer.lr_max": pytest.approx(0.0045637348532),
        "optimizer.warmup_steps": 38,
        "steps": 177,
    }


def test_the_code_that_trains_imports_no_detector():
    """Records can therefore be trained long before the detectors are final."""
    judging = {"diagnosis", "outcome", "health", "tally", "judge"}
    for name in ("conftest", "test_train", "conditions", "progress", "sampler"):
        tree = ast.parse((ROOT / "calibration" / f"{name}.py").read_text(encoding="utf-8"))
        modules = {
            part
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for part in (node.module or "").split(".")
        }
        assert not modules & judging, name


def test_the_remaining_time_is_estimated_from_this_session():
    """A run that was trained before does not count for the pace."""
    now = [0.0]
    runs = [Planned(name, "healthy", HEALTHY) for name in "abcd"]
    progress = Progress(runs, trained_before=["a"], clock=lambda: now[0])
    assert str(progress) == "1 of 4 runs trained"
    now[0] = 60.0
    progress.done("b")
    assert str(progress) == "2 of 4 runs trained, about 2 min left"


# Outcomes and counts


@pytest.mark.parametrize(
    ("val", "reason"),
    [
        ([0.9] * 5 + [0.918] * 5, ""),
        ([0.9] * 5 + [0.936] * 5, "val ends 4% above its minimum"),
        ([2.0] * 5 + [1.0] * 5, "val ends at 1, not below the n-gram's 1"),
        ([0.9] * 9 + [inf], "not finite"),
    ],
)
def test_a_run_is_labelled_healthy_by_a_rule_without_detectors(val, reason):
    """The validation loss must be finite, near its minimum, and below the n-gram baseline."""
    record = hand_made({"val_loss": val}, ladder={"val": {"ngram": 1.0}})
    assert reasons_against(record) == reason


def test_an_outcome_holds_what_was_named_since_when_and_by_which_detector():
    """In this record the validation loss falls below its floor halfway."""
    planned = Planned("mask-leak-7", "mask-leak", HEALTHY, BREAKS["mask-leak"].cause)
    judged = judge_record(planned, thorough(val_loss=[2.0] * 20 + [0.01] * 20))
    assert (judged.said, judged.right, judged.certain_since) == ("mask-leak", True, 20)
    assert judged.found == ("floor",)


def test_an_outcome_is_read_as_it_was_written():
    """JSON has no infinity, so an infinite margin becomes null."""
    written = outcome_of("healthy-2", "overfit", margin=inf, found=("overfitting",))
    row = json.loads(json.dumps(written.row(), allow_nan=False))
    assert Outcome.of_row(row) == dataclasses.replace(written, margin=None)


def test_a_condition_is_counted_with_its_deadline_and_margins():
    """A run that was named wrong counts only as wrong."""
    counted = tally("mask-leak", grouped(OUTCOMES)["mask-leak"])
    assert (counted.right, counted.runs) == (3, 4)
    assert (counted.certain_since, counted.certain_by) == ((30, 70), BREAKS["mask-leak"].certain_by)
    assert (counted.margins, counted.sole) == ((1.0, 2.0), 1)
    machine = json.loads(json.dumps(summary(OUTCOMES)))
    assert machine["healthy"]["said"] == {"healthy": 4, "overfit": 1}
    assert machine[UNLABELLED]["right"] is None


def test_alarms_and_misses_are_listed_with_their_evidence():
    """The page lists them in tables, the README in sentences."""
    by_title = {each.title: each for each in tables.tables(OUTCOMES, entry().configs)}
    assert by_title["Confusion matrix"].rows[1] == ("mask-leak", "3", "1", "0", "0")
    assert [row[:3] for row in by_title["Alarms in healthy runs"].rows] == [
        ("healthy-1004", "overfit", "val rises"),
        ("sampled-07-1301", "undetermined", "no cause explains it"),
    ]
    assert by_title["Misses"].rows == (("mask-leak-1003", "mask-leak", "overfit", "val rises"),)
    block = publish.readme_block([entry(*OUTCOMES)], "a")
    assert "Alarms, healthy: `overfit` in 1 (healthy-1004)." in block
    assert "Missed: `overfit` in 1 (mask-leak-1003)." in block


def test_sampled_configs_without_an_alarm_have_no_interval():
    """A bootstrap says nothing about them."""
    assert tally(LABELLED, [outcome_of("sampled-07-1300", "healthy")]).interval is None
