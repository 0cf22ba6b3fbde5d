# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""The compiled loops over posting lists: documents that are in all of some lists and in none of others.

Rules of this file: those of `kernels.py`.

A posting is `document << TF_BITS | how often`, ascending in its list, which is a row of a block arena (`arena.py`).

A search
    words     int32[words, LANGUAGES_MAX]   the list of each word in each language, -1 for none
    terms     int64[terms]                  lists that have no language
    no_words, no_terms                      the same, of what must not be
    dense     int32[lists]                  which of the frequent lists a list is, 0 for none of them
    containers, bits, shift                 of the frequent lists, see `segment_bitmaps.py`
    room      int64[6, words + terms + no_words + no_terms]   scratch: lists, and how far each still counts
    ids, tops  int64[documents]             each document's tweet, and the largest id up to it
    since_id, max_id                        only tweets from since_id on, and before max_id
    low, high                               documents before low have no tweet from since_id on, those from high on none
                                            before max_id: so ids are looked at only of what matches
A document has one language, so it matches in one at most. Without words there is one pass for all languages. Documents
are nearly in the order of their ids: behind one whose `tops` is below an id there is no tweet with it or a larger one.

How it works: in each language that has all words the shortest list is gone through from its end. Whether another has
the same document is a look at a bit where that one is frequent there; else it is followed from its end by galloping, so
that each element costs the logarithm of what lies between.
"""

from __future__ import annotations

from math import exp2, log, log2

import numpy as np

from actors.core.arrays.arena_kernels import njit

TF_BITS = 6
TF_MAX = (1 << TF_BITS) - 1
LANGUAGES_MAX = 192  # the detector knows 176
K1, B = 1.2, 0.75  # of BM25, as Lucene and tantivy have them


@njit
def _at_or_below(data, first, end, document):
    """Return how many of the `end` postings from data[first] on are of that document or one before it."""
    above = (document + 1) << TF_BITS
    step = 1
    while step <= end and data[first + end - step] >= above:
        step *= 2
    low = max(0, end - step)
    left = end - step // 2 - low
    while left > 1:  # without a branch that can't be predicted
        half = left // 2
        low += half * (data[first + low + half - 1] < above)
        left -= half
    if left == 1 and data[first + low] < above:
        low += 1
    return low


@njit
def _shortest(length, words, terms, language):
    """Return the length of the shortest wanted list in a language, -1 if a word has none."""
    least = np.int64(1) << 62
    for w in range(words.shape[0]):
        row = words[w, language]
        if row < 0:
            return -1
        least = min(least, length[row])
    for t in range(terms.shape[0]):
        least = min(least, length[terms[t]])
    return least


@njit
def work(length, words, terms):
    """Return (postings that a search may go through, the language with the most of them)."""
    total, most, language = 0, -1, 0
    for g in range(LANGUAGES_MAX if words.shape[0] else 1):
        found = _shortest(length, words, terms, g)
        if found > 0:
            total += found
            if found > most:
                most, language = found, g
    return total, language


@njit
def _begin(data, start, length, dense, words, terms, no_words, no_terms, language, high, room):
    """Lay out the lists of a language and how far they count below document `high`; return which is the shortest.

    room[0]: lists, the unwanted ones last, -1 for none; room[1]: where each begins; room[2]: how far it counts at
    most; room[4]: which of the frequent lists it is.
    """
    count = 0
    for w in range(words.shape[0]):
        room[0, count] = words[w, language]
        count += 1
    for t in range(terms.shape[0]):
        room[0, count] = terms[t]
        count += 1
    shortest = 0
    for k in range(count):
        row = room[0, k]
        room[1, k] = start[row]
        room[4, k] = dense[row]
        room[2, k] = _at_or_below(data, start[row], np.int64(length[row]), high - 1)
        if room[2, k] < room[2, shortest]:
            shortest = k
    for u in range(no_words.shape[0] + no_terms.shape[0]):
        row = no_words[u, language] if u < no_words.shape[0] else no_terms[u - no_words.shape[0]]
        room[0, count] = row
        room[1, count] = start[row] if row >= 0 else 0
        room[2, count] = length[row] if row >= 0 else 0
        room[4, count] = dense[row] if row >= 0 else 0
        count += 1
    return shortest


@njit
def _words_of(container, shift):
    """Return where the bits of a container begin."""
    return (container - 1) * max(1, 1 << shift >> 6)


@njit
def _is_set(bits, at, shift, document):
    """Whether the container whose bits begin there has a document."""
    place = document & ((1 << shift) - 1)
    return (bits[at + (place >> 6)] >> np.uint64(place & 63)) & np.uint64(1) != 0


@njit
def _holds(data, containers, bits, shift, room, k, document):
    """Return 1 if list k has a document, 0 if not, -1 if it has none before it either."""
    container = containers[room[4, k], document >> shift]
    if container:
        return 1 if _is_set(bits, _words_of(container, shift), shift, document) else 0
    first = room[1, k]
    end = _at_or_below(data, first, room[2, k], document)
    room[2, k] = end
    if end == 0:
        return -1
    return 1 if np.int64(data[first + end - 1]) >> TF_BITS == document else 0


@njit
def _matches(data, containers, bits, shift, room, wanted, driver, document):
    """Return 1 if a document of the driver's list matches, 0 if not, -1 if no document before it can either.

    wanted: how many of the lists it must be in.
    """
    for k in range(wanted):
        if k == driver:
            continue
        held = _holds(data, containers, bits, shift, room, k, document)
        if held < 1:
            return held
    for k in range(wanted, room.shape[1]):
        if _holds(data, containers, bits, shift, room, k, document) == 1:
            return 0
    return 1


@njit
def _next(data, containers, bits, shift, room, wanted, driver):
    """Return the next document from room[3, 0] on that matches, newest first, -1 for none.

    It is that of the last posting that counts of the driver's list; who goes on counts one less of that.
    """
    first, i, low = room[1, driver], room[2, driver], room[3, 0]
    if wanted == 2 and room.shape[1] == 2:  # as most searches: without a look at `room` for each posting
        other, end, frequent = room[1, 1 - driver], room[2, 1 - driver], room[4, 1 - driver]
        while i > 0:
            document = np.int64(data[first + i - 1]) >> TF_BITS
            if document < low:
                return -1
            container = containers[frequent, document >> shift]
            if not container:
                end = _at_or_below(data, other, end, document)
                if end == 0:
                    return -1
                if np.int64(data[other + end - 1]) >> TF_BITS == document:
                    room[2, driver], room[2, 1 - driver] = i, end
                    return document
                i -= 1
                continue
            at, bottom = _words_of(container, shift), max(low, document >> shift << shift)
            while document >= bottom:
                if _is_set(bits, at, shift, document):
                    room[2, driver], room[2, 1 - driver] = i, end
                    return document
                i -= 1
                if i == 0:
                    return -1
                document = np.int64(data[first + i - 1]) >> TF_BITS
        return -1
    while i > 0:
        document = np.int64(data[first + i - 1]) >> TF_BITS
        if document < low:
            return -1
        match = _matches(data, containers, bits, shift, room, wanted, driver, document)
        if match < 0:
            return -1
        if match:
            room[2, driver] = i
            return document
        i -= 1
    return -1


@njit
def _first_of(tops, count, tweet_id):
    """Return the first of `count` documents whose tops isn't below an id."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if tops[middle] < tweet_id:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def newest(
    data, start, length, dense, containers, bits, shift, words, terms, no_words, no_terms, language, ids, tops,
    since_id, max_id, low, high, count, room, found,
):  # fmt: skip
    """Write matching documents to `found`, in no order; return how many, -1 if there is no room.

    Among them are the newest `count` of all. language: is looked at first. Where one language has filled a page, the
    others are looked at only as far as that page goes.
    """
    total, wanted = 0, words.shape[0] + terms.shape[0]
    room[3, 0] = low
    for turn in range(-1, LANGUAGES_MAX if words.shape[0] else 0):
        g = language if turn < 0 else turn
        if (turn >= 0 and g == language) or _shortest(length, words, terms, g) < 0:
            continue
        driver = _begin(data, start, length, dense, words, terms, no_words, no_terms, g, high, room)
        here, least = 0, max_id
        while True:
            document = _next(data, containers, bits, shift, room, wanted, driver)
            if document < 0:
                break
            room[2, driver] -= 1
            tweet_id = ids[document]
            if tweet_id < since_id or tweet_id >= max_id:
                continue
            if total == found.shape[0]:
                return -1
            found[total] = document
            total += 1
            here += 1
            least = min(least, tweet_id)
            if here == count:
                since_id = least
                room[3, 0] = max(room[3, 0], _first_of(tops, high, least))
    return total


@njit
def scored(
    data, start, length, dense, containers, bits, shift, words, terms, no_words, no_terms, ids, since_id, max_id, low,
    high, lengths, documents, mean_length, room, weights, norms, found, scores,
):  # fmt: skip
    """Write all matching documents to `found` and their BM25 to `scores`; return how many, -1 if there is no room.

    lengths: words of each document; documents: how many there are; weights: float64[words], norms: as long as `found`:
    scratch. Only words score; without any the score is 1.
    """
    total, wanted = 0, words.shape[0] + terms.shape[0]
    room[3, 0] = low
    for g in range(LANGUAGES_MAX if words.shape[0] else 1):
        if _shortest(length, words, terms, g) < 0:
            continue
        driver = _begin(data, start, length, dense, words, terms, no_words, no_terms, g, high, room)
        for w in range(words.shape[0]):
            having = length[room[0, w]]
            weights[w] = (K1 + 1.0) * log(1.0 + (documents - having + 0.5) / (having + 0.5))
            room[5, w] = room[2, w]
        first = total
        while True:
            document = _next(data, containers, bits, shift, room, wanted, driver)
            if document < 0:
                break
            if total == found.shape[0]:
                return -1
            found[total] = document
            total += 1
            room[2, driver] -= 1
        total = _within(ids, since_id, max_id, lengths, mean_length, found, first, total, norms)
        for i in range(first, total):
            scores[i] = 0.0 if words.shape[0] else 1.0
        for w in range(words.shape[0]):
            begin, end = room[1, w], room[5, w]
            for i in range(first, total):
                end = _at_or_below(data, begin, end, found[i])
                tf = np.int64(data[begin + end - 1]) & TF_MAX
                scores[i] += weights[w] * tf / (tf + norms[i])
    return total


@njit
def _within(ids, since_id, max_id, lengths, mean_length, found, first, total, norms):
    """Keep those of found[first:total] that have the right ids, and write BM25's norm of each; return where they end.

    In a loop by itself, of nothing but loads that don't wait for each other: each is a cache miss.
    """
    kept = first
    for i in range(first, total):
        document = found[i]
        tweet_id = ids[document]
        found[kept] = document
        norms[kept] = K1 * (1.0 - B + B * lengths[document] / mean_length)
        kept += since_id <= tweet_id < max_id
    return kept


@njit
def _engagements(found, count, ids, slots, tweet_ids, likes, reposts, replies, engagements):
    """Write the engagement of each of some documents, -1 for what has gone. As `_within`, nothing but loads."""
    for i in range(count):
        document = found[i]
        slot = slots[document]
        engagement = likes[slot] + 2.0 * reposts[slot] + replies[slot]
        engagements[i] = max(engagement, 0.0) if tweet_ids[slot] == ids[document] else -1.0


@njit
def ranked(
    found, scores, count, ids, slots, tweet_ids, likes, reposts, replies, authors, following, now_ms, floor, rate,
    bonus, engagements,
):  # fmt: skip
    """Turn BM25 into the rank of `top` (see `found.py`), in place; return of how many: of those that haven't gone.

    slots: where a document's tweet rests in tweet_ids and the columns after it; one that
    rests there no more has gone. following: author ids ascending; engagements: scratch.
    """
    _engagements(found, count, ids, slots, tweet_ids, likes, reposts, replies, engagements)
    kept = 0
    for i in range(count):
        document, score, engagement = found[i], scores[i], engagements[i]
        if engagement < 0.0:
            continue
        tweet_id = ids[document]
        if engagement > 0.0:
            score *= log2(2.0 + engagement)
        age_ms = now_ms - (tweet_id >> 16)
        if age_ms > 0:
            score *= floor + (1.0 - floor) * exp2(age_ms * rate)
        if following.shape[0]:
            author = authors[slots[document]]
            place = np.searchsorted(following, author)
            if place < following.shape[0] and following[place] == author:
                score *= bonus
        found[kept] = document
        scores[kept] = score
        kept += 1
    return kept


@njit
def _is_worse(ranks, ids, i, j):
    """Whether entry i comes after entry j: a lower rank, or as good and older."""
    return ranks[i] < ranks[j] or (ranks[i] == ranks[j] and ids[i] < ids[j])


@njit
def _swap(ranks, ids, documents, i, j):
    ranks[i], ranks[j] = ranks[j], ranks[i]
    ids[i], ids[j] = ids[j], ids[i]
    documents[i], documents[j] = documents[j], documents[i]


@njit
def _sink(ranks, ids, documents, held):
    """Make a heap again of one whose first entry is another: no entry is worse than the one above it."""
    at = 0
    while True:
        least = 2 * at + 1
        if least >= held:
            return
        if least + 1 < held and _is_worse(ranks, ids, least + 1, least):
            least += 1
        if not _is_worse(ranks, ids, least, at):
            return
        _swap(ranks, ids, documents, at, least)
        at = least


@njit
def kept(found, scores, count, document_ids, ranks, ids, documents, held):
    """Keep the best of `count` documents and the `held` that were kept before; return how many are held now.

    ranks, ids, documents: a heap, the worst first, of as many as there is room for.
    """
    for i in range(count):
        score, tweet_id = scores[i], document_ids[found[i]]
        if held < ranks.shape[0]:
            at = held
            held += 1
            ranks[at], ids[at], documents[at] = score, tweet_id, found[i]
            while at and _is_worse(ranks, ids, at, (at - 1) // 2):
                _swap(ranks, ids, documents, at, (at - 1) // 2)
                at = (at - 1) // 2
        elif score > ranks[0] or (score == ranks[0] and tweet_id > ids[0]):
            ranks[0], ids[0], documents[0] = score, tweet_id, found[i]
            _sink(ranks, ids, documents, held)
    return held


@njit
def best_first(ranks, ids, documents, held):
    """Sort what `kept` has kept."""
    while held > 1:
        held -= 1
        _swap(ranks, ids, documents, 0, held)
        _sink(ranks, ids, documents, held)


@njit
def arrived(documents, ids, slots, arrivals, tweet_ids, flags, hidden_flags, arrived_ids, found):
    """Write for each of some documents where it lies among the arrivals to `found`; -1: that has to be looked up.

    slots: as for `ranked`; arrivals: each document's place among the arrivals as it was last known, -1 for none, and
    arrived_ids whose tweets lie there. What has gone, or has one of hidden_flags, has to be looked up, too.
    """
    for i in range(documents.shape[0]):
        document = documents[i]
        tweet_id, slot, place = ids[document], slots[document], arrivals[document]
        is_here = tweet_ids[slot] == tweet_id and not flags[slot] & hidden_flags
        found[i] = place if is_here and place >= 0 and arrived_ids[place] == tweet_id else -1


# ---- frequent lists --------------------------------------------------------------------------------------------------


@njit
def counted(data, start, length, lists, low, high, counts):
    """Write how many documents from low to below high each of some lists has to `counts`."""
    for i in range(lists.shape[0]):
        row = lists[i]
        end = _at_or_below(data, start[row], np.int64(length[row]), high - 1)
        counts[i] = end - _at_or_below(data, start[row], end, low - 1)


@njit
def contained(data, start, length, lists, container, low, shift, bits):
    """Set the bits of the documents of the segment that begins with `low`, for each list in the next container."""
    for i in range(lists.shape[0]):
        row = lists[i]
        first, at = start[row], _words_of(container + i, shift)
        end = _at_or_below(data, first, np.int64(length[row]), low + (1 << shift) - 1)
        while end > 0:
            end -= 1
            place = (np.int64(data[first + end]) >> TF_BITS) - low
            if place < 0:
                break
            bits[at + (place >> 6)] |= np.uint64(1) << np.uint64(place & 63)
