"""The bits of a tweet's `flags`, and the kinds of relation that hide one account, or its reposts, from another.

Rule: numbers that journals and checkpoints hold; none is ever used for something else.
"""

FLAG_REPLY = 1
FLAG_REPOST = 2
FLAG_FOLLOWERS = 4  # for followers only
FLAG_DIRECT = 8  # for those mentioned only
FLAG_DELETED = 16
FLAG_UNCOUNTED = 32  # a reply that isn't public, and isn't counted where strangers would see it
FLAG_UNLISTED = 64  # for everybody who asks for it or follows, on no page where strangers come across it
FLAG_RICH = (
    128  # published with a poll, a quote or media: part of what is shown of it changes with time, or isn't its own
)

FLAGS_PRIVATE = FLAG_FOLLOWERS | FLAG_DIRECT
FLAGS_HIDDEN = FLAGS_PRIVATE | FLAG_UNLISTED  # what strangers don't come across: public pages, hashtags, search
FLAGS_REPOSTED = FLAG_REPLY | FLAG_UNLISTED | FLAG_RICH  # those that a tweet may have which is reposted
FLAGS_STORED = FLAGS_REPOSTED | FLAG_REPOST | FLAGS_PRIVATE | FLAG_UNCOUNTED  # those that an entry may have

KINDS = BLOCK, BLOCKED_BY, MUTE = 0, 1, 2
NO_REPOSTS = 3  # hides an account's reposts alone; newer than what knows of three kinds only
# What an account wants of its home timeline beside that, looked up on the way of its reads; hides nobody elsewhere.
FOLLOWED_TAGS = 4  # hashtags, whose tweets it shows too
EXCLUSIVE_LISTS = 5  # lists, whose members' tweets it leaves out
SOME_LANGUAGES = 6  # accounts, whose tweets it shows in some languages only
