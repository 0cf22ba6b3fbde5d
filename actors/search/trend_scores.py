"""Which terms a tweet has, and what makes one of them a trend: the score of a term, and the list made of many.

Rules of this file
- Pure: numbers in, numbers out; no clock, no sketches, no text handling but the comparison of words.
- The order is total, so that two runs over the same counts give the same list.

How it works
    counted  = min(tweets, repeats_max x authors)              what a few busy accounts write counts little
    expected = tolerance x usual + prior                       somewhat above what is usual, and never nothing
    surprise = sqrt(2 (counted ln(counted / expected) - counted + expected)), 0 unless counted > expected
    score    = surprise x log2(1 + authors)

`surprise` is the signed root of the likelihood ratio of a Poisson count against its expected value: about the number of
standard deviations for large counts, and, unlike (n - mu) / sqrt(mu), not huge for a count of 5 where nothing was
expected. `tolerance` stands for what a Poisson doesn't know: that the whole service is busier on some evenings. Without
it a term of 10,000 mentions an hour would be a trend at 10,500.

`rank` sorts by score, then folds what says the same thing: a phrase inside a longer one that is about as frequent, two
phrases that overlap (cuts of one sentence), a phrase whose words make up a hashtag. Of a hashtag and its words the one
with the higher score stays; of phrases the longer one.

Costs: 1 us a term for the score; folding compares with the terms above that share a word, 5 us a term.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from datasketches import frequent_items_error_type, frequent_strings_sketch  # type: ignore[import-untyped]

HASHTAG, PHRASE, LINK = "hashtag", "phrase", "link"
KINDS = (HASHTAG, PHRASE, LINK)
KIND_OF_SIGN: Final = {"#": HASHTAG, "_": PHRASE, ">": LINK}
AUTHORS_MIN = 3  # accounts; two friends are no trend, and small communities have trends too
FOLDED_COUNT_MAX = 300  # of the best phrases; folding compares pairs, and nobody reads further
WORD_CHARS_MAX: Final = 32  # of a word in a phrase; longer ones are no words
TAG_CHARS_MAX: Final = 100  # of a hashtag; longer ones are nobody's trend
LINK_CHARS_MAX: Final = 400  # a search query, which finds it, has at most 500
WORD_COUNT_MAX: Final = 128  # words of a tweet that are looked at; a tweet of 500 characters has 90
LONG_LG: Final = 14  # 12,288 terms in the long memory
LONG_SCALE: Final = 64  # weight of a mention in the long memory, which counts in whole numbers
LONG_HALF_LIFE_HOURS: Final = 72.0  # last week counts a fifth; what comes back once a year is news
LONG_REBASE_HOURS: Final = 72 * 20  # weights grow a millionfold, then are scaled back: sums must stay below 2^63
TAG_COUNT_MAX: Final = 16  # hashtags of a tweet that are looked at, and links; more is spam

# Words that a phrase neither begins nor ends with, folded as texts are (no apostrophes, no accents).
_STOP_WORDS: Final = {
    lang: frozenset(words.split())
    for lang, words in {
        "en": "a an the and or but nor if then than that this these those there here it its is are was were be been "
        "being am i im ive ill id you youre your yours u ur he hes his him she shes her hers we our us they "
        "theyre their them me my mine of in on at to from for with by as into about over under up down out "
        "off not no yes so too very just only do does did doing done dont doesnt didnt have has had havent "
        "hasnt will would wont can cant could should shall may might must what which who whom whose when "
        "where why how all any some such each every both more most much many other own same again also ever "
        "never now get got go goes going gonna let lets rt via amp",
        "es": "el la los las lo un una unos unas y e o u pero si no que de del al a en con por para sin sobre es "
        "son era ser fue ha han he hay esta este esto estos estas ese esa eso mi mis tu tus su sus me te se "
        "nos le les yo ya muy mas como cuando donde quien porque todo toda todos todas",
        "pt": "o a os as um uma uns umas e ou mas se nao que de do da dos das no na nos nas em com por para pelo "
        "pela sem ao aos eu tu ele ela voce voces me te meu minha seu sua foi ser era esta este isso isto ja "
        "muito mais como quando",
        "fr": "le la les l un une des du de d et ou mais si ne pas que qui quoi a au aux en dans sur pour par avec "
        "sans ce cet cette ces c est sont etait etre ai as ont je tu il elle on nous vous ils elles me te se "
        "mon ma mes ton ta son sa ses leur plus tres comme tout tous y",
        "de": "der die das den dem des ein eine einen einem einer und oder aber wenn nicht kein keine zu zum zur "
        "von vom im in am an auf aus bei mit nach fur uber um ist sind war waren sein hat haben wird werden "
        "ich du er sie es wir ihr mich mir dich dir uns euch mein dein als auch noch nur schon so wie was wer "
        "wo dass da hier sehr mehr",
        "it": "il lo la i gli le un uno una e o ma se non che chi di del della dei delle da dal in nel nella con su "
        "per tra a al alla ai sono era ho ha hai mi ti si ci vi io tu lui lei noi mio mia tuo sua suo piu "
        "molto come anche questo",
        "nl": "de het een en of maar als niet geen van in op aan te met voor door bij naar uit om over is zijn was "
        "waren heeft heb ik jij je hij zij ze we wij jullie u mij me mijn jouw dat die dit deze er ook nog al "
        "wel zo wat wie hoe",
        "sv": "en ett den det de och eller men om inte att som av i pa till fran for med ar var har jag du han hon "
        "vi ni man sa",
        "da": "en et den det de og eller men om ikke at som af i pa til fra for med er var har jeg du han hun vi "
        "man sa",
        "no": "en et den det de og eller men om ikke at som av i pa til fra for med er var har jeg du han hun vi "
        "man sa",
        "pl": "i a o u w z na do od za po przez dla ze sie nie tak to ten ta te jest sa byl jak co kto ja ty on ona "
        "my wy oni",
        "tr": "ve veya ama ile icin bir bu su o da de ki mi ne ben sen biz siz onlar cok daha gibi kadar var yok",
        "id": "yang dan di ke dari untuk dengan pada ini itu ada tidak aku kamu dia kita kami saya juga sudah akan "
        "bisa",
        "ru": "и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по ее мне было вот от "
        "меня о из ему для мы это этот или ни уже до",
        "uk": "і й в у не що він на я з як а то все вона так його але ти до за по мені від мене про ми це цей або "
        "ні вже и",
        "ar": "في من على الى إلى عن مع هذا هذه ذلك التي الذي ما لا لم لن أن ان كان هو هي و يا",
        "fa": "و در به از که این آن را با برای تا است هم من تو او ما شما",
        "hi": "का के की को में से पर है हैं था थे और या कि यह वह जो तो भी नहीं एक ने हो",
    }.items()
}


@lru_cache(maxsize=1_024)
def language_code(lang: str) -> str:
    """Return a language as it stands in keys: two or three letters, "und" for what isn't a code."""
    code = lang.lower().partition("-")[0]
    return code if 2 <= len(code) <= 3 and code.isascii() and code.isalpha() else "und"


def term_keys(lang: str, hashtags: list[str], words: list[str], links: list[str]) -> list[str]:
    """Return the keys of a tweet's terms, see ShardTrends.add; [] if they are not well-formed Unicode. Cost: 4 us."""
    code = language_code(lang)
    keys = []
    for tag in hashtags[:TAG_COUNT_MAX]:
        tag = tag.lstrip("#\uff03").casefold()
        if 0 < len(tag) <= TAG_CHARS_MAX and " " not in tag:
            keys.append(f"#{code} {tag}")
    keys += [f">{code} {link}" for link in links[:TAG_COUNT_MAX] if 0 < len(link) <= LINK_CHARS_MAX]
    if len(words) > 1:
        stop = _STOP_WORDS.get(code) or _STOP_WORDS["en"]
        words = [word.lower() for word in words[:WORD_COUNT_MAX]]
        edge = [
            word not in stop and 1 < len(word) <= WORD_CHARS_MAX and word[0].isalnum() and not word.isdigit()
            for word in words
        ]
        head, last = f"_{code} ", len(words) - 1
        for at in range(last):
            if edge[at]:
                if edge[at + 1]:
                    keys.append(f"{head}{words[at]} {words[at + 1]}")
                if at + 1 < last and edge[at + 2] and len(words[at + 1]) <= WORD_CHARS_MAX:
                    keys.append(f"{head}{words[at]} {words[at + 1]} {words[at + 2]}")
    try:
        "".join(keys).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which neither msgpack nor a sketch takes
        return []
    return keys


class LongMemory:
    """How often terms were used before the hours that are kept: a frequent-items sketch with decay.

    An hour's mentions go in with a weight that doubles every half-life (forward decay: Cormode et al., ICDE 2009), so
    what is in the sketch never has to be changed. A sketch that is full gives estimates that are too high: then more
    passes for usual. Memory: 2 MB.
    """

    def __init__(self, hour: int) -> None:
        self.base_hour = hour
        self.weight_hours = 0.0  # hours seen, each with its weight
        self.weight_floors = 0.0  # their floors, the same
        self.sketch = frequent_strings_sketch(LONG_LG)

    def add_hour(self, hour: int, mentions: Iterable[tuple[str, int]], floor: int) -> None:
        """Take over an hour: its terms with their mentions, and what others may have had."""
        if hour - self.base_hour > LONG_REBASE_HOURS:
            self._rebase(hour)
        weight = self._weight(hour)
        self.weight_hours += weight
        self.weight_floors += weight * floor
        for key, count in mentions:
            self.sketch.update(key, max(1, round(count * weight * LONG_SCALE)))

    def mentions(self, key: str, hour: int) -> float:
        """Return a term's decayed mentions as of an hour; of an unknown one, half of what it may have had. 0.3 us."""
        known = self.sketch.get_estimate(key) / LONG_SCALE
        return float(known or self.weight_floors / 2) / self._weight(hour)

    def hours(self, hour: int) -> float:
        """Return the decayed number of hours seen."""
        return self.weight_hours / self._weight(hour)

    def _weight(self, hour: int) -> float:
        return float(2.0 ** min((hour - self.base_hour) / LONG_HALF_LIFE_HOURS, 1_000.0))

    def _rebase(self, hour: int) -> None:
        weight = self._weight(hour)
        old, self.sketch = self.sketch, frequent_strings_sketch(LONG_LG)
        for key, _, lower, _ in old.get_frequent_items(frequent_items_error_type.NO_FALSE_NEGATIVES, 0):
            if lower >= weight:
                self.sketch.update(key, int(lower / weight))
        self.weight_hours /= weight
        self.weight_floors /= weight
        self.base_hour = hour

    def to_wire(self) -> list[Any]:
        """Return what `from_wire` takes."""
        return [self.base_hour, self.weight_hours, self.weight_floors, self.sketch.serialize()]

    @classmethod
    def from_wire(cls, wire: list[Any]) -> LongMemory:
        """Return the memory that `to_wire` described."""
        self = cls(wire[0])
        _, self.weight_hours, self.weight_floors, sketch = wire
        self.sketch = frequent_strings_sketch.deserialize(sketch)
        return self


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """The numbers of the formula in the module header."""

    authors_min: int = AUTHORS_MIN
    repeats_max: float = 2.0  # mentions an author that count
    tolerance: float = 1.5  # times the usual level that surprise nobody
    prior: float = 1.0  # mentions in a window that surprise nobody, of a term never seen before
    fold_share: float = 0.7  # of the shorter phrase's mentions that the longer one must have to take its place
    chain_share: float = 0.9  # the same for two phrases that share one word only


class TermCounts(NamedTuple):
    """One term in one window, counted over all shards."""

    kind: str
    text: str  # the hashtag without #, the words of a phrase with blanks between them, the link
    counts: tuple[int, ...]  # mentions in each of the window's slices, oldest first
    tweets: int  # their sum; an account counts once a slice
    authors: int  # distinct accounts in the window
    usual: float  # mentions that a window of this length usually has


class ScoredTerm(NamedTuple):
    """A term and its score."""

    score: float
    term: TermCounts


def score_of(term: TermCounts, settings: ScoreSettings) -> float:
    """Return a term's score, 0.0 if it is no trend."""
    if term.authors < settings.authors_min:
        return 0.0
    counted = min(float(term.tweets), settings.repeats_max * term.authors)
    expected = settings.tolerance * term.usual + settings.prior
    if counted <= expected:
        return 0.0
    surprise = math.sqrt(2.0 * (counted * math.log(counted / expected) - counted + expected))
    return surprise * math.log2(1 + term.authors)


def rank(terms: Iterable[TermCounts], settings: ScoreSettings, count_max: int) -> list[ScoredTerm]:
    """Return the trends among some terms, best first, at most count_max of each kind.

    Ties go to the more frequent term, then by kind (hashtag, phrase, link), then by text.
    """
    scored = [ScoredTerm(score, term) for term in terms if (score := score_of(term, settings)) > 0.0]
    scored.sort(key=_order)
    kept: list[ScoredTerm] = []
    left = dict.fromkeys(KINDS, count_max)
    for trend in _folded(scored, settings):
        kind = trend.term.kind
        if left[kind] > 0:
            left[kind] -= 1
            kept.append(trend)
    return kept


def _order(trend: ScoredTerm) -> tuple[float, int, int, str]:
    return -trend.score, -trend.term.tweets, KINDS.index(trend.term.kind), trend.term.text


def _folded(scored: list[ScoredTerm], settings: ScoreSettings) -> list[ScoredTerm]:
    """Return the trends without those that another one stands for; the order stays."""
    phrases = [trend for trend in scored if trend.term.kind == PHRASE][:FOLDED_COUNT_MAX]
    # A longer phrase is never as frequent as its parts, so it goes first whatever its score.
    phrases.sort(key=lambda trend: -len(trend.term.text.split(" ")))
    by_word: dict[str, list[tuple[list[str], int]]] = {}
    stays: set[str] = set()
    for trend in phrases:
        words = trend.term.text.split(" ")
        rivals = (rival for word in (words[0], words[-1]) for rival in by_word.get(word, ()))
        if not any(_stands_for(rival, words, trend.term.tweets, settings) for rival in rivals):
            stays.add(trend.term.text)
        for word in set(words):
            by_word.setdefault(word, []).append((words, trend.term.tweets))
    return _without_tags_words([trend for trend in scored if trend.term.kind != PHRASE or trend.term.text in stays])


def _without_tags_words(scored: list[ScoredTerm]) -> list[ScoredTerm]:
    seen: set[str] = set()
    kept = []
    for trend in scored:
        kind, text = trend.term.kind, trend.term.text
        if kind != LINK:
            joined = text.replace(" ", "").replace("_", "")
            if joined in seen:
                continue
            seen.add(joined)
        kept.append(trend)
    return kept


def _stands_for(rival: tuple[list[str], int], words: list[str], tweets: int, settings: ScoreSettings) -> bool:
    """Whether a phrase that went before, itself folded or not, stands for this one.

    It does if it holds all the words in their order, or ends as this one begins or begins as this one ends.
    """
    longer, its_tweets = rival
    common, most = min(tweets, its_tweets), max(tweets, its_tweets)
    size = len(words)
    if len(longer) > size and any(longer[at : at + size] == words for at in range(len(longer) - size + 1)):
        return its_tweets >= settings.fold_share * tweets
    for shared in range(1, min(size, len(longer))):
        if longer[-shared:] == words[:shared] or words[-shared:] == longer[:shared]:
            share = settings.fold_share if shared > 1 else settings.chain_share
            if common >= share * most:
                return True
    return False
