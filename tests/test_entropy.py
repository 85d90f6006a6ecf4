"""The entropy ladder is exact: it equals results by hand, and no predictor has a lower loss."""

import json
import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.corpus import GROUPS, SEQUENCES, VOCAB_SIZE, encode, split, verb_token_mask
from model.entropy import ALPHAS, NGram, conditional_entropy, ladder

LN2 = math.log(2)
ENCODED = [encode(sequence.text) for sequence in SEQUENCES]
MASKS = [verb_token_mask(sequence) for sequence in SEQUENCES]


def ids(*texts):
    """Sequences of digits as id arrays: "012" is [0, 1, 2]."""
    return [np.array([int(c) for c in text], dtype=np.int64) for text in texts]


corpora = st.lists(st.text("0123", min_size=2, max_size=6), min_size=2, max_size=8).map(
    lambda texts: ids(*texts)
)
contexts = st.sampled_from([None, 0, 1, 2])
sizes = st.floats(-6, 0).map(lambda exponent: 10.0**exponent)
seeds = st.integers(0, 2**32 - 1)


class Predictor:
    """A table of logits with a row for each context that occurs; it starts at the observed
    frequencies."""

    def __init__(self, sequences, context, vocab_size):
        tokens = Counter()
        for sequence in sequences:
            for t in range(1, len(sequence)):
                before = sequence[:t] if context is None else sequence[max(0, t - context) : t]
                tokens[tuple(before.tolist()), int(sequence[t])] += 1
        row = {h: i for i, h in enumerate({h for h, _ in tokens})}
        self.counts = np.zeros((len(row), vocab_size))
        for (h, x), count in tokens.items():
            self.counts[row[h], x] = count
        # exp(-60) of a token never seen is nothing beside 1e-12, and yet has a logarithm.
        self.logits = np.where(self.counts > 0, np.log(np.maximum(self.counts, 1)), -60.0)

    def loss(self, direction=0.0, uniform=0.0):
        """Mean loss after a step in logit space and a mixture with the uniform distribution."""
        logits = self.logits + direction
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        p = (1 - uniform) * shifted / shifted.sum(axis=1, keepdims=True) + uniform / logits.shape[1]
        return -(self.counts * np.log(p)).sum() / self.counts.sum()

    def random_direction(self, seed, size):
        return size * np.random.default_rng(seed).standard_normal(self.logits.shape)


@pytest.fixture(scope="module", params=["train", "val"])
def real(request):
    """One side of a real split: its best predictor and its floor."""
    sequences = [ENCODED[i] for i in getattr(split(0), request.param)]
    return Predictor(sequences, None, VOCAB_SIZE), conditional_entropy(sequences)


class TestByHand:
    @pytest.mark.parametrize(
        ("texts", "context", "expected"),
        [
            pytest.param(["01", "02"], None, LN2, id="one fork after one prefix"),
            pytest.param(["0", "01"], None, 0.0, id="a lone character predicts nothing"),
            pytest.param(["012", "311"], None, 0.0, id="the whole prefix tells which"),
            pytest.param(["012", "311"], 1, 2 * LN2 / 4, id="one character does not"),
            pytest.param(
                ["012", "311"], 0, math.log(4) - 3 * math.log(3) / 4, id="three ones and a two"
            ),
            pytest.param(["0001"], 1, math.log(3) - 2 * LN2 / 3, id="after 0: 0, 0 and 1"),
            pytest.param(["0001"], 2, 2 * LN2 / 3, id="the start is a context of its own"),
            pytest.param(["0001"], 3, 0.0, id="three characters of context know the place"),
        ],
    )
    def test_conditional_entropy_is_the_result_by_hand(self, texts, context, expected):
        """The entropy is in nats per predicted token. The first character of a sequence is not
        predicted."""
        assert conditional_entropy(ids(*texts), context) == pytest.approx(expected, abs=1e-15)

    def test_nothing_to_predict_is_an_error(self):
        """The mean over zero tokens is not defined."""
        with pytest.raises(ValueError, match="no token is predicted"):
            conditional_entropy(ids("0", "1"))

    def test_yo_fui_has_two_translations(self):
        """I was or I went: this choice, after `yo fui=I w`, costs ln 2 in both sequences."""
        texts = ["yo fui=I was.", "yo fui=I went."]
        predicted = sum(len(text) - 1 for text in texts)
        assert conditional_entropy([encode(text) for text in texts]) == pytest.approx(
            2 * LN2 / predicted
        )


class TestNothingScoresBelow:
    def test_observed_frequencies_attain_the_floor(self, real):
        """The loss equals the floor within 1e-12."""
        predictor, floor = real
        assert predictor.loss() == pytest.approx(floor, abs=1e-12)

    @settings(max_examples=20)
    @given(seed=seeds, size=sizes, mixed=st.booleans())
    def test_no_change_of_the_best_predictor_lowers_its_loss(self, real, seed, size, mixed):
        """The corpus is a real split. The changes are steps of 1e-6 to 1 in random directions, with
        and without mixing in the uniform distribution."""
        predictor, floor = real
        loss = predictor.loss(
            predictor.random_direction(seed, size), uniform=size / 2 if mixed else 0.0
        )
        assert loss >= floor - 1e-12
        assert loss > floor or size < 1e-4

    @given(corpus=corpora, context=contexts, seed=seeds, size=sizes)
    def test_no_change_lowers_the_loss_on_any_corpus(self, corpus, context, seed, size):
        """This also holds for a predictor that sees only a few characters."""
        predictor, lowest = Predictor(corpus, context, 4), conditional_entropy(corpus, context)
        assert predictor.loss() == pytest.approx(lowest, abs=1e-12)
        assert predictor.loss(predictor.random_direction(seed, size)) >= lowest - 1e-12

    @given(corpus=corpora)
    def test_more_context_never_raises_the_entropy(self, corpus):
        """ln V >= unigram >= bigram >= ... >= floor on any corpus."""
        rungs = [math.log(4), *(conditional_entropy(corpus, k) for k in (0, 1, 2, 3, None))]
        assert all(low <= high + 1e-12 for high, low in pairwise(rungs))


class TestNGram:
    @pytest.mark.parametrize(
        ("n", "text", "expected"),
        [
            pytest.param(1, "01", [3.5 / 6], id="three of four tokens are 1"),
            pytest.param(2, "012", [2.5 / 4, 1.5 / 4], id="one character of context"),
            pytest.param(2, "013", [2.5 / 4, 0.5 / 4], id="a character never seen here"),
            pytest.param(2, "30", [1 / 4], id="a context never seen is uniform"),
            pytest.param(3, "011", [2.5 / 4, 1.5 / 4], id="the first token has a shorter context"),
            pytest.param(
                3, "11", [1 / 4], id="what was seen in the middle tells nothing at the start"
            ),
        ],
    )
    def test_ngram_probabilities_are_the_results_by_hand(self, n, text, expected):
        """Fitted on 012 and 011 with alpha 0.5 and four symbols."""
        model = NGram(ids("012", "011"), n, alpha=0.5, vocab_size=4)
        assert np.exp(-model.nll(ids(text))) == pytest.approx(expected)

    @given(
        corpus=corpora,
        n=st.integers(1, 7),
        alpha=st.sampled_from(ALPHAS),
        prefix=st.text("0123", min_size=1),
    )
    def test_ngram_probabilities_sum_to_one(self, corpus, n, alpha, prefix):
        """The sum is one after any prefix, whether or not the prefix occurs in training."""
        model = NGram(corpus, n, alpha, vocab_size=4)
        following = [math.exp(-model.nll(ids(prefix + x))[-1]) for x in "0123"]
        assert sum(following) == pytest.approx(1, abs=1e-12)

    def test_nll_has_one_value_per_predicted_token(self):
        """The values of all sequences follow one another."""
        model = NGram(ids("012", "011"), 2, alpha=0.5, vocab_size=4)
        apart = [model.nll(ids(text)) for text in ("012", "01", "3333")]
        assert model.nll(ids("012", "01", "3333")).tolist() == np.concatenate(apart).tolist()

    @given(corpus=corpora, n=st.integers(1, 4), labels=st.data())
    def test_alpha_is_the_best_when_each_group_is_left_out(self, corpus, n, labels):
        """Subtracting the counts of a group equals fitting without it."""
        others = st.lists(st.integers(0, 2), min_size=len(corpus) - 2, max_size=len(corpus) - 2)
        groups = [0, 1, *labels.draw(others)]
        scores = dict.fromkeys(ALPHAS, 0.0)
        for alpha in ALPHAS:
            for left_out in set(groups):
                rest = [s for s, g in zip(corpus, groups, strict=True) if g != left_out]
                own = [s for s, g in zip(corpus, groups, strict=True) if g == left_out]
                scores[alpha] += NGram(rest, n, alpha, 4).nll(own).sum()
        fitted = NGram.fit(corpus, n, 4, groups)
        assert scores[fitted.alpha] == pytest.approx(min(scores.values()), abs=1e-9)
        assert fitted.nll(corpus).tolist() == NGram(corpus, n, fitted.alpha, 4).nll(corpus).tolist()

    def test_repeated_sequences_in_a_group_do_not_favour_a_small_alpha(self):
        """Every sequence occurs twice. If the two copies are in separate groups, little smoothing
        is best; if they are in one group, much smoothing is best."""
        train = ids("01", "01", "02", "02")
        assert NGram.fit(train, 2, 4).alpha == min(ALPHAS)
        assert NGram.fit(train, 2, 4, groups="aabb").alpha == max(ALPHAS)

    @pytest.mark.parametrize("groups", [["a", "a"], ["a", "b", "c"]])
    def test_alpha_cannot_be_chosen_within_one_group_or_without_labels(self, groups):
        """The message counts groups and labels."""
        with pytest.raises(
            ValueError, match=f"{len(groups)} labels in {len(set(groups))} groups for 2 sequences"
        ):
            NGram.fit(ids("01", "02"), 2, 4, groups)


def ladder_of(seed, **changed):
    train, val = split(seed)
    arguments = {
        "groups": [GROUPS[i] for i in train],
        "train_masks": [MASKS[i] for i in train],
        "val_masks": [MASKS[i] for i in val],
    }
    return ladder(
        [ENCODED[i] for i in train], [ENCODED[i] for i in val], VOCAB_SIZE, **(arguments | changed)
    )


@pytest.fixture(scope="module")
def real_ladder():
    return ladder_of(0)


class TestLadder:
    @pytest.mark.parametrize("side", ["train", "val"])
    def test_rungs_descend(self, real_ladder, side):
        """uniform > unigram > bigram > floor, and the best n-gram lies between uniform and
        floor."""
        rungs = real_ladder[side]
        assert rungs["uniform"] == math.log(64)
        assert rungs["uniform"] > rungs["unigram"] > rungs["bigram"] > rungs["floor"] > 0
        assert rungs["bigram"] > rungs["ngram"] > rungs["floor"]

    @pytest.mark.parametrize("seed", range(5))
    def test_floors_and_baseline_are_in_the_measured_ranges(self, seed):
        """Seeds 0-99 gave 0.190-0.194, 0.129-0.143 and 1.20-1.45 nats. Another corpus or split
        would change them."""
        rungs = ladder_of(seed)
        assert 0.189 < rungs["train"]["floor"] < 0.195
        assert 0.125 < rungs["val"]["floor"] < 0.145
        assert 1.15 < rungs["val"]["ngram"] < 1.5

    def test_best_order_has_the_lowest_validation_loss(self, real_ladder):
        """Its losses are the baseline of both splits."""
        best = min(real_ladder["ngrams"].items(), key=lambda item: item[1]["val"])
        assert str(real_ladder["ngram_n"]) == best[0]
        assert {side: real_ladder[side]["ngram"] for side in ("train", "val")} == {
            side: best[1][side] for side in ("train", "val")
        }
        assert list(real_ladder["ngrams"]) == list("1234567")

    def test_ngram_loss_is_at_least_the_entropy_of_its_context(self, real_ladder):
        """An n-gram is a function of n - 1 characters."""
        train = [ENCODED[i] for i in split(0).train]
        for n, scores in real_ladder["ngrams"].items():
            assert scores["train"] >= conditional_entropy(train, int(n) - 1)

    def test_tokens_are_all_characters_except_the_first(self, real_ladder):
        """The final stop is one of these tokens."""
        train, val = split(0)
        assert real_ladder["train"]["tokens"] == sum(len(SEQUENCES[i].text) - 1 for i in train)
        assert real_ladder["val"]["tokens"] == sum(len(SEQUENCES[i].text) - 1 for i in val)

    def test_class_baseline_is_the_best_ngram_on_the_masked_tokens(self, real_ladder):
        """Verb forms have a higher loss than the mean token."""
        train, val = split(0)
        model = NGram.fit(
            [ENCODED[i] for i in train],
            real_ladder["ngram_n"],
            VOCAB_SIZE,
            groups=[GROUPS[i] for i in train],
        )
        marked = np.concatenate([model.nll([ENCODED[i]])[MASKS[i]] for i in val])
        assert real_ladder["val"]["class_baseline"] == pytest.approx(marked.mean(), abs=1e-12)
        assert real_ladder["val"]["class_baseline"] > real_ladder["val"]["ngram"]

    def test_without_masks_there_is_no_class_baseline(self):
        """The baseline is None, not a number with another meaning."""
        bare = ladder(ids("012", "011"), ids("013"), 4)
        assert bare["train"]["class_baseline"] is bare["val"]["class_baseline"] is None

    def test_no_alpha_depends_on_validation(self, real_ladder):
        """Another validation split gives the same alphas and the same training losses."""
        train, val = split(0)
        shuffled = [np.random.default_rng(0).permutation(ENCODED[i]) for i in val]
        other = ladder(
            [ENCODED[i] for i in train], shuffled, VOCAB_SIZE, groups=[GROUPS[i] for i in train]
        )
        for n, scores in real_ladder["ngrams"].items():
            assert (other["ngrams"][n]["alpha"], other["ngrams"][n]["train"]) == (
                scores["alpha"],
                scores["train"],
            )
            assert other["ngrams"][n]["val"] != scores["val"]

    def test_ladder_can_be_written_as_json(self, real_ladder):
        """The ladder has only plain values and string keys."""
        assert json.loads(json.dumps(real_ladder, allow_nan=False)) == real_ladder

    def test_ladder_is_the_same_every_time(self, real_ladder):
        """The ladder must be equal to the bit, because records contain it."""
        assert ladder_of(0) == real_ladder
