"""Twenty verbs in two languages: regular forms by rule, and all exceptions.

Each table has one line per verb. Forms that a line leaves out are regular; forms that it gives are
exceptions. A form is one word for all persons, or three words for I / you / he (yo / tú / él)."""

from __future__ import annotations

from typing import NamedTuple

TENSES = (
    "infinitive",
    "present_simple",
    "past_simple",
    "past_participle",
    "future_will",
    "future_going_to",
)
PERSONS = ("1sg", "2sg", "3sg")

Forms = dict[str, tuple[str, ...]]
"""Tense -> its forms: one in the infinitive, three (in the order of PERSONS) in other tenses."""


class English(NamedTuple):
    """An English verb. It is regular when the rule gives its past."""

    base: str
    past: str = ""
    participle: str = ""
    present: str = ""

    @property
    def regular(self) -> bool:
        return not self.past


class Spanish(NamedTuple):
    """A Spanish verb. A `dative` verb agrees with the thing rather than with the person: me gusta,
    te gusta, le gusta."""

    infinitive: str
    present: str = ""
    past: str = ""
    participle: str = ""
    future: str = ""
    dative: bool = False


ENGLISH = (
    English("work"),
    English("play"),
    English("walk"),
    English("talk"),
    English("listen"),
    English("watch"),
    English("study"),
    English("finish"),
    English("start"),
    English("look"),
    English("want"),
    English("like"),
    English("be", "was were was", "been", present="am are is"),
    English("have", "had", "had", present="have have has"),
    English("do", "did", "done"),
    English("go", "went", "gone"),
    English("come", "came", "come"),
    English("see", "saw", "seen"),
    English("eat", "ate", "eaten"),
    English("write", "wrote", "written"),
)

SPANISH = {
    "work": Spanish("trabajar"),
    "play": Spanish("jugar", present="juego juegas juega", past="jugué jugaste jugó"),
    "walk": Spanish("caminar"),
    "talk": Spanish("hablar"),
    "listen": Spanish("escuchar"),
    "watch": Spanish("mirar"),
    "study": Spanish("estudiar"),
    "finish": Spanish("terminar"),
    "start": Spanish("empezar", present="empiezo empiezas empieza", past="empecé empezaste empezó"),
    "look": Spanish("mirar"),
    "want": Spanish(
        "querer", "quiero quieres quiere", "quise quisiste quiso", future="querré querrás querrá"
    ),
    "like": Spanish("gustar", dative=True),
    "be": Spanish("ser", "soy eres es", "fui fuiste fue"),
    "have": Spanish(
        "tener", "tengo tienes tiene", "tuve tuviste tuvo", future="tendré tendrás tendrá"
    ),
    "do": Spanish("hacer", "hago haces hace", "hice hiciste hizo", "hecho", "haré harás hará"),
    "go": Spanish("ir", "voy vas va", "fui fuiste fue"),
    "come": Spanish(
        "venir", "vengo vienes viene", "vine viniste vino", future="vendré vendrás vendrá"
    ),
    "see": Spanish("ver", "veo ves ve", "vi viste vio", "visto"),
    "eat": Spanish("comer"),
    "write": Spanish("escribir", participle="escrito"),
}


def english_forms(verb: English) -> Forms:
    """All forms of an English verb, with the pronouns I, you and he."""
    base = verb.base
    past = _spelled(verb.past) or (_past(base),) * 3
    participle = verb.participle or _past(base)
    said = {
        "present_simple": _spelled(verb.present) or (base, base, _third_person(base)),
        "past_simple": past,
        "past_participle": tuple(f"{have} {participle}" for have in ("have", "have", "has")),
        "future_will": (f"will {base}",) * 3,
        "future_going_to": tuple(f"{be} going to {base}" for be in ("am", "are", "is")),
    }
    return {"infinitive": (f"to {base}",)} | _with_pronouns(("I", "you", "he"), said)


def spanish_forms(verb: Spanish) -> Forms:
    """All forms of a Spanish verb, with the pronouns yo, tú and él."""
    infinitive = verb.infinitive
    present, past, participle = _spanish_rule(infinitive)
    participle = verb.participle or participle
    said = {
        "present_simple": _spelled(verb.present) or present,
        "past_simple": _spelled(verb.past) or past,
        "past_participle": tuple(f"{haber} {participle}" for haber in ("he", "has", "ha")),
        "future_will": _spelled(verb.future) or _add(infinitive, ("é", "ás", "á")),
        "future_going_to": tuple(f"{ir} a {infinitive}" for ir in ("voy", "vas", "va")),
    }
    pronouns = ("yo", "tú", "él")
    if verb.dative:
        pronouns = ("me", "te", "le")
        said = {tense: (third,) * 3 for tense, (_, _, third) in said.items()}
    return {"infinitive": (infinitive,)} | _with_pronouns(pronouns, said)


def _third_person(base: str) -> str:
    if _consonant_y(base):
        return f"{base[:-1]}ies"
    return base + ("es" if base.endswith(("o", "sh", "ch")) else "s")


def _past(base: str) -> str:
    if _consonant_y(base):
        return f"{base[:-1]}ied"
    return base + ("d" if base.endswith("e") else "ed")


def _consonant_y(base: str) -> bool:
    return base.endswith("y") and base[-2] not in "aeiou"


def _spanish_rule(infinitive: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Present, past and participle of a regular verb in -ar, -er or -ir."""
    stem = infinitive[:-2]
    if infinitive.endswith("ar"):
        return _add(stem, ("o", "as", "a")), _add(stem, ("é", "aste", "ó")), f"{stem}ado"
    return _add(stem, ("o", "es", "e")), _add(stem, ("í", "iste", "ió")), f"{stem}ido"


def _add(stem: str, endings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(stem + ending for ending in endings)


def _spelled(slot: str) -> tuple[str, ...]:
    words = tuple(slot.split())
    return words * 3 if len(words) == 1 else words


def _with_pronouns(pronouns: tuple[str, ...], said: Forms) -> Forms:
    return {
        tense: tuple(f"{pronoun} {form}" for pronoun, form in zip(pronouns, forms, strict=True))
        for tense, forms in said.items()
    }
