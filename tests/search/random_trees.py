"""Trees that `check_tree` lets through, of words and names that the sample tweets have: for tests with Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from actors.text.query import HAS


def leaves():
    words = ["love", "whale", "whales", "the", "a", "running", "cafe", "stars", "dont", "haus", "hauser", "👍", "2026"]
    return st.one_of(
        st.builds(lambda word: ["word", word], st.sampled_from(words)),
        st.builds(
            lambda phrase: ["phrase", phrase],
            st.sampled_from([
                ["blue", "whale"], ["in", "the"], ["the"], ["the", "the"], ["東京"], ["日本", "本語"], ["語の"], ["ok"],
            ]),
        ),
        st.builds(lambda word: ["prefix", word], st.sampled_from(["lo", "mor", "th", "日", "мор", "🎉", "w_", "本"])),
        st.builds(lambda tag: ["tag", tag], st.sampled_from(["love", "ocean", "tokyo", "東京", "strasse", "nosuch"])),
        st.builds(lambda tag: ["cash", tag], st.sampled_from(["tsla", "brk.a", "btc"])),
        st.builds(lambda name: ["mention", name], st.sampled_from(["ada", "bob", "carol_99", "erin"])),
        st.builds(
            lambda kind, ids: [kind, ids], st.sampled_from(["author", "to"]),
            st.lists(st.sampled_from([7, 8, 9, 10, 11, 150, 151]), max_size=4),
        ),
        st.builds(lambda code: ["lang", code], st.sampled_from(["en", "de", "ja", "und", "xx"])),
        st.builds(
            lambda low, high: ["ids", low, high],
            *[st.sampled_from([0, *((1_767_225_600 + n * 20_000) * 1000 << 16 for n in range(10))])] * 2,
        ),
        st.sampled_from([*(["has", what] for what in HAS), ["is", "reply"], ["is", "repost"], ["follows"]]),
        st.builds(lambda count: ["likes", count], st.sampled_from([0, 1, 2, 10, 1_000])),
    )  # fmt: skip


def trees():
    """Trees that `check_tree` lets through, of any form: `and` inside `and`, the same twice, `or` of one."""

    def joined(children):
        some = st.lists(children, min_size=1, max_size=4)
        none_of = st.lists(children.map(lambda node: ["not", node]), max_size=2)
        return st.one_of(
            some.map(lambda nodes: ["or", *nodes]),
            st.tuples(some, none_of, st.randoms(use_true_random=False)).map(shuffled),
        )

    def shuffled(parts):
        nodes = parts[0] + parts[1]
        parts[2].shuffle(nodes)
        return ["and", *nodes]

    return st.recursive(leaves(), joined, max_leaves=12)
