"""The bits of a tweet's `flags`, and the kinds of relation that hide one account from another.

Rule: numbers that journals and checkpoints hold; none is ever used for something else.
"""

FLAG_REPLY = 1
FLAG_REPOST = 2
FLAG_FOLLOWERS = 4  # for followers only
FLAG_DIRECT = 8  # for those mentioned only
FLAG_DELETED = 16
FLAG_UNCOUNTED = 32  # a reply that isn't public, and isn't counted where strangers would see it

FLAGS_PRIVATE = FLAG_FOLLOWERS | FLAG_DIRECT
FLAGS_STORED = FLAG_REPLY | FLAG_REPOST | FLAGS_PRIVATE | FLAG_UNCOUNTED  # those that an entry may have

KINDS = BLOCK, BLOCKED_BY, MUTE = 0, 1, 2
