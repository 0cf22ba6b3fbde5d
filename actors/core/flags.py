"""The bits of a tweet's `flags`."""

FLAG_REPLY = 1
FLAG_REPOST = 2
FLAG_FOLLOWERS = 4  # for followers only
FLAG_DIRECT = 8  # for those mentioned only
FLAG_DELETED = 16
