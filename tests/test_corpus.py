"""The corpus has the forms of both languages, and no split lets a model copy validation from
training."""

import unicodedata
from collections import Counter, defaultdict

import numpy as np
import pytest
from lemminflect import getInflection

from model.corpus import (
    ALPHABET,
    COMPOSITIONAL_TENSES,
    CORPUS_SHA256,
    GROUPS,
    ROWS,
    SEQUENCES,
    VOCAB_SIZE,
    decode,
    encode,
    normalise,
    split,
    verb_token_mask,
)
from model.verbs import ENGLISH, TENSES

SEEDS = range(200)
BY_TEXT = {sequence.text: sequence for sequence in SEQUENCES}

# Infinitive, present, past / present perfect / future, future with ir.
SPANISH = """
work: trabajar; yo trabajo, tú trabajas, él trabaja; yo trabajé, tú trabajaste, él trabajó;
    yo he trabajado, tú has trabajado, él ha trabajado;
    yo trabajaré, tú trabajarás, él trabajará; yo voy a trabajar, tú vas a trabajar, él va a trabajar
play: jugar; yo juego, tú juegas, él juega; yo jugué, tú jugaste, él jugó;
    yo he jugado, tú has jugado, él ha jugado;
    yo jugaré, tú jugarás, él jugará; yo voy a jugar, tú vas a jugar, él va a jugar
walk: caminar; yo camino, tú caminas, él camina; yo caminé, tú caminaste, él caminó;
    yo he caminado, tú has caminado, él ha caminado;
    yo caminaré, tú caminarás, él caminará; yo voy a caminar, tú vas a caminar, él va a caminar
talk: hablar; yo hablo, tú hablas, él habla; yo hablé, tú hablaste, él habló;
    yo he hablado, tú has hablado, él ha hablado;
    yo hablaré, tú hablarás, él hablará; yo voy a hablar, tú vas a hablar, él va a hablar
listen: escuchar; yo escucho, tú escuchas, él escucha; yo escuché, tú escuchaste, él escuchó;
    yo he escuchado, tú has escuchado, él ha escuchado;
    yo escucharé, tú escucharás, él escuchará; yo voy a escuchar, tú vas a escuchar, él va a escuchar
watch: mirar; yo miro, tú miras, él mira; yo miré, tú miraste, él miró;
    yo he mirado, tú has mirado, él ha mirado;
    yo miraré, tú mirarás, él mirará; yo voy a mirar, tú vas a mirar, él va a mirar
study: estudiar; yo estudio, tú estudias, él estudia; yo estudié, tú estudiaste, él estudió;
    yo he estudiado, tú has estudiado, él ha estudiado;
    yo estudiaré, tú estudiarás, él estudiará; yo voy a estudiar, tú vas a estudiar, él va a estudiar
finish: terminar; yo termino, tú terminas, él termina; yo terminé, tú terminaste, él terminó;
    yo he terminado, tú has terminado, él ha terminado;
    yo terminaré, tú terminarás, él terminará; yo voy a terminar, tú vas a terminar, él va a terminar
start: empezar; yo empiezo, tú empiezas, él empieza; yo empecé, tú empezaste, él empezó;
    yo he empezado, tú has empezado, él ha empezado;
    yo empezaré, tú empezarás, él empezará; yo voy a empezar, tú vas a empezar, él va a empezar
look: mirar; yo miro, tú miras, él mira; yo miré, tú miraste, él miró;
    yo he mirado, tú has mirado, él ha mirado;
    yo miraré, tú mirarás, él mirará; yo voy a mirar, tú vas a mirar, él va a mirar
want: querer; yo quiero, tú quieres, él quiere; yo quise, tú quisiste, él quiso;
    yo he querido, tú has querido, él ha querido;
    yo querré, tú querrás, él querrá; yo voy a querer, tú vas a querer, él va a querer
like: gustar; me gusta, te gusta, le gusta; me gustó, te gustó, le gustó;
    me ha gustado, te ha gustado, le ha gustado;
    me gustará, te gustará, le gustará; me va a gustar, te va a gustar, le va a gustar
be: ser; yo soy, tú eres, él es; yo fui, tú fuiste, él fue;
    yo he sido, tú has sido, él ha sido;
    yo seré, tú serás, él será; yo voy a ser, tú vas a ser, él va a ser
have: tener; yo tengo, tú tienes, él tiene; yo tuve, tú tuviste, él tuvo;
    yo he tenido, tú has tenido, él ha tenido;
    yo tendré, tú tendrás, él tendrá; yo voy a tener, tú vas a tener, él va a tener
do: hacer; yo hago, tú haces, él hace; yo hice, tú hiciste, él hizo;
    yo he hecho, tú has hecho, él ha hecho;
    yo haré, tú harás, él hará; yo voy a hacer, tú vas a hacer, él va a hacer
go: ir; yo voy, tú vas, él va; yo fui, tú fuiste, él fue;
    yo he ido, tú has ido, él ha ido;
    yo iré, tú irás, él irá; yo voy a ir, tú vas a ir, él va a ir
come: venir; yo vengo, tú vienes, él viene; yo vine, tú viniste, él vino;
    yo he venido, tú has venido, él ha venido;
    yo vendré, tú vendrás, él vendrá; yo voy a venir, tú vas a venir, él va a venir
see: ver; yo veo, tú ves, él ve; yo vi, tú viste, él vio;
    yo he visto, tú has visto, él ha visto;
    yo veré, tú verás, él verá; yo voy a ver, tú vas a ver, él va a ver
eat: comer; yo como, tú comes, él come; yo comí, tú comiste, él comió;
    yo he comido, tú has comido, él ha comido;
    yo comeré, tú comerás, él comerá; yo voy a comer, tú vas a comer, él va a comer
write: escribir; yo escribo, tú escribes, él escribe; yo escribí, tú escribiste, él escribió;
    yo he escrito, tú has escrito, él ha escrito;
    yo escribiré, tú escribirás, él escribirá; yo voy a escribir, tú vas a escribir, él va a escribir
"""


def spanish_table():
    """The table above as verb -> tense -> forms."""
    lines = SPANISH.replace("\n    ", " ").strip().splitlines()
    verbs = (line.split(": ") for line in lines)
    return {
        verb: {
            tense: forms.split(", ")
            for tense, forms in zip(TENSES, tenses.split("; "), strict=True)
        }
        for verb, tenses in verbs
    }


def stripped(text):
    return "".join(
        c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn"
    )


def english_words(verb, tense):
    """The last English word of each form, in the order of the persons."""
    return [row.english.split(" ")[-1] for row in ROWS if row.cell == (verb, tense)]


class TestForms:
    @pytest.mark.parametrize("verb", [verb.base for verb in ENGLISH])
    def test_english_inflections_agree_with_lemminflect(self, verb):
        """An independent library gives the same third person, past and participle of every verb."""
        ours = {
            "VBZ": {english_words(verb, "present_simple")[2]},
            "VBD": set(english_words(verb, "past_simple")),
            "VBN": set(english_words(verb, "past_participle")),
        }
        assert {tag: words - set(getInflection(verb, tag)) for tag, words in ours.items()} == {
            tag: set() for tag in ours
        }

    def test_first_and_second_person_are_the_base_verb_except_for_be(self):
        """I work, you work; I am, you are."""
        said = {verb.base: english_words(verb.base, "present_simple")[:2] for verb in ENGLISH}
        assert said == {verb.base: [verb.base] * 2 for verb in ENGLISH} | {"be": ["am", "are"]}

    @pytest.mark.parametrize(
        ("tense", "forms"),
        [
            ("infinitive", ["to study"]),
            ("present_simple", ["I study", "you study", "he studies"]),
            ("past_simple", ["I studied", "you studied", "he studied"]),
            ("past_participle", ["I have studied", "you have studied", "he has studied"]),
            ("future_will", ["I will study", "you will study", "he will study"]),
            (
                "future_going_to",
                ["I am going to study", "you are going to study", "he is going to study"],
            ),
        ],
    )
    def test_english_forms_have_pronoun_and_auxiliaries(self, tense, forms):
        """The forms of every tense have their pronoun and auxiliaries."""
        assert [row.english for row in ROWS if row.cell == ("study", tense)] == forms

    def test_be_agrees_with_its_person(self):
        """ "be" is the only verb whose past form depends on the person, and the only one whose first
        person differs from the base form."""
        assert english_words("be", "past_simple") == ["was", "were", "was"]
        assert english_words("be", "present_simple") == ["am", "are", "is"]

    def test_every_spanish_form_is_as_in_the_table(self):
        """All 320 forms equal the table in this file."""
        ours = defaultdict(lambda: defaultdict(list))
        for row in ROWS:
            ours[row.verb][row.tense].append(row.spanish)
        assert ours == spanish_table()

    def test_twelve_verbs_are_regular_and_eight_are_not(self):
        """The learning of these two classes is compared."""
        assert (
            " ".join(verb.base for verb in ENGLISH if not verb.regular)
            == "be have do go come see eat write"
        )
        assert len(ENGLISH) == 20


class TestRowsAndSequences:
    def test_there_are_320_rows_and_640_sequences(self):
        """20 infinitives and 20 x 5 x 3 finite forms, in both directions."""
        assert (len(ROWS), len(SEQUENCES)) == (320, 640)

    def test_ids_are_unique_and_name_verb_tense_and_person(self):
        """The id of an infinitive names no person."""
        ids = [row.id for row in ROWS]
        assert len(set(ids)) == 320
        assert {"work.past_simple.3sg", "work.infinitive", "be.future_going_to.1sg"} <= set(ids)

    def test_row_is_read_in_both_directions(self):
        """Index 2 * row is Spanish to English, and the next one English to Spanish."""
        number = [row.id for row in ROWS].index("work.past_simple.3sg")
        there, back = SEQUENCES[2 * number : 2 * number + 2]
        assert (there.text, there.direction) == ("él trabajó=he worked.", "es-en")
        assert (back.text, back.direction) == ("he worked=él trabajó.", "en-es")
        assert there.row is back.row is ROWS[number]

    def test_sequence_knows_its_index(self):
        """Indices run from 0 to 639."""
        assert [sequence.index for sequence in SEQUENCES] == list(range(640))

    def test_longest_sequence_has_42_characters(self):
        """The mean length is about 24 characters."""
        assert (
            max(SEQUENCES, key=lambda s: len(s.text)).text
            == "tú vas a escuchar=you are going to listen."
        )
        assert max(len(s.text) for s in SEQUENCES) == 42
        assert np.mean([len(s.text) for s in SEQUENCES]) == pytest.approx(24, abs=1)

    def test_hash_of_the_corpus_is_pinned(self):
        """A changed form, id or order makes another corpus, which must be intended."""
        assert CORPUS_SHA256 == "5fc224cfd9a131f53f0db1e1179ac8a3593c6fea157ab4f5870b18aa6903e156"


class TestAlphabet:
    def test_alphabet_is_exactly_the_symbols_of_the_corpus(self):
        """Sorted, without repeats, and with ids to spare."""
        assert "".join(sorted({c for s in SEQUENCES for c in s.text})) == ALPHABET
        assert len(ALPHABET) < VOCAB_SIZE == 64

    def test_decoding_undoes_encoding(self):
        """This holds for every sequence; the tokens are int64."""
        assert [decode(encode(s.text)) for s in SEQUENCES] == [s.text for s in SEQUENCES]
        assert encode("to be").dtype == np.int64

    def test_error_for_an_unknown_character_gives_text_and_position(self):
        """The error also lists the symbols."""
        with pytest.raises(ValueError, match="'ñ' at position 2 of 'mañana'"):
            encode("mañana")

    @pytest.mark.parametrize("unused", [len(ALPHABET), 63, -1])
    def test_error_for_an_id_without_a_character_gives_the_id(self, unused):
        """Ids beyond the alphabet stand for no character."""
        with pytest.raises(ValueError, match=f"id {unused} at position 1"):
            decode(np.array([0, unused]))


@pytest.fixture(scope="module")
def splits():
    return {seed: split(seed) for seed in SEEDS}


def cells(indices):
    return {(*SEQUENCES[i].row.cell, SEQUENCES[i].row.regular) for i in indices}


class TestSplit:
    @pytest.mark.parametrize(
        "parts",
        [
            pytest.param(lambda s: [s.row.english], id="english-half"),
            pytest.param(lambda s: [s.row.spanish], id="spanish-half"),
            pytest.param(lambda s: [s.text], id="whole-sequence"),
        ],
    )
    def test_no_half_of_validation_occurs_in_training(self, splits, parts):
        """On 200 seeds, no half occurs there even in another case or without accents."""
        said = [{stripped(part) for part in parts(sequence)} for sequence in SEQUENCES]
        leaks = {
            seed: set().union(*(said[i] for i in train)) & set().union(*(said[i] for i in val))
            for seed, (train, val) in splits.items()
        }
        assert not any(leaks.values())

    def test_every_sequence_is_in_exactly_one_split(self, splits):
        """Both splits are ascending, and together they are the corpus."""
        for train, val in splits.values():
            assert sorted([*train, *val]) == list(range(640))
            assert (np.diff(train) > 0).all()
            assert (np.diff(val) > 0).all()

    @pytest.mark.parametrize("per_class", [1, 2, 3, 4, 6])
    def test_validation_has_exactly_its_quota_of_every_tense_and_class(self, per_class):
        """The quota of regular and irregular cells of each tense, whatever groups were drawn."""
        quota = {(tense, regular): per_class for tense in TENSES for regular in (True, False)}
        for seed in SEEDS:
            held_out = cells(split(seed, per_class).val)
            assert Counter((tense, regular) for _, tense, regular in held_out) == quota

    def test_validation_holds_24_whole_cells(self, splits):
        """Two of each class and tense: 64 rows, 128 sequences. No cell is in both splits."""
        for train, val in splits.values():
            assert len(cells(val)) == 24
            assert not cells(val) & cells(train)
            assert (len(train), len(val)) == (512, 128)

    def test_every_tense_has_both_classes_in_training(self, splits):
        """A held-out form can therefore be learned from similar forms."""
        kinds = {(tense, regular) for tense in TENSES for regular in (True, False)}
        for train, _ in splits.values():
            assert {(tense, regular) for _, tense, regular in cells(train)} == kinds

    def test_cells_that_share_a_half_are_one_group(self):
        """watch and look are both mirar; I was and I went are both yo fui. No other cells share a
        half."""
        together = defaultdict(set)
        for sequence, group in zip(SEQUENCES, GROUPS, strict=True):
            together[group].add(sequence.row.cell)
        pairs = [{("watch", tense), ("look", tense)} for tense in TENSES]
        pairs.append({("be", "past_simple"), ("go", "past_simple")})
        found = [group for group in together.values() if len(group) > 1]
        assert sorted(map(sorted, found)) == sorted(map(sorted, pairs))
        assert len(together) == 113

    def test_halves_are_compared_without_case_and_accents(self):
        """Cells whose halves differ only in these would be in one group."""
        assert normalise("Él trabajó") == "el trabajo" == normalise("el trabajo")

    def test_groups_of_two_cells_are_held_out_too(self, splits):
        """On some seeds, watch and look are in validation; on some, be and go in the past are."""
        drawn = set().union(*(cells(val) for _, val in splits.values()))
        assert {("watch", "infinitive", True), ("be", "past_simple", False)} <= drawn
        assert len(drawn) == 120

    def test_same_seed_gives_the_same_split(self, splits):
        """Two calls with the same seed return the same split."""
        assert all((split(seed).val == val).all() for seed, (_, val) in splits.items())

    def test_split_of_seed_0_is_pinned(self, splits):
        """Another version of NumPy must not change the splits."""
        held_out = {
            tense: " ".join(sorted(v for v, t, _ in cells(splits[0].val) if t == tense))
            for tense in TENSES
        }
        assert held_out == {
            "infinitive": "be eat start talk",
            "present_simple": "see walk want write",
            "past_simple": "be go talk work",
            "past_participle": "be come talk work",
            "future_will": "do finish want write",
            "future_going_to": "eat go play want",
        }

    def test_different_seeds_give_different_splits(self, splits):
        """All splits of 200 seeds are different."""
        assert len({val.tobytes() for _, val in splits.values()}) == 200

    @pytest.mark.parametrize("impossible", [0, -1, 7])
    def test_impossible_quota_is_an_error(self, impossible):
        """Above six, a group of two cells might have to be split."""
        with pytest.raises(
            ValueError, match=f"val_cells_per_class is {impossible}; it must be 1 to 6"
        ):
            split(0, impossible)


class TestVerbTokens:
    @pytest.mark.parametrize(
        ("text", "marked"),
        [
            pytest.param("él trabajó=he worked.", "worked.", id="third person past"),
            pytest.param("trabajar=to work.", "work.", id="infinitive"),
            pytest.param("yo fui=I went.", "went.", id="ambiguous as go"),
            pytest.param("yo fui=I was.", "was.", id="ambiguous as be"),
            pytest.param("tú vas a escuchar=you are going to listen.", "listen.", id="going to"),
            pytest.param("le ha gustado=he has liked.", "liked.", id="perfect"),
            pytest.param("he worked=él trabajó.", "", id="English to Spanish"),
        ],
    )
    def test_verb_tokens_are_the_last_english_word_and_the_stop(self, text, marked):
        """Only sequences from Spanish to English have such tokens. Entry t of the mask is about the
        character after t."""
        mask = verb_token_mask(BY_TEXT[text])
        assert "".join(c for c, belongs in zip(text[1:], mask, strict=True) if belongs) == marked
        assert mask.dtype == np.bool_

    def test_half_of_all_sequences_have_verb_tokens(self):
        """All sequences that end in English have verb tokens, and no sequence that ends in Spanish
        has any."""
        assert all(verb_token_mask(s).any() == (s.direction == "es-en") for s in SEQUENCES)

    def test_compositional_tenses_end_in_the_base_verb(self):
        """In these tenses irregular verbs are regular; in every other tense the form of some verb
        differs from its base."""
        bare = {
            tense: all(english_words(v.base, tense)[0] == v.base for v in ENGLISH)
            for tense in TENSES
        }
        assert tuple(tense for tense in TENSES if bare[tense]) == COMPOSITIONAL_TENSES
