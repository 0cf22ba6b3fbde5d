"""Texts as clients send them: lines, links, mentions, hashtags; see ../DESIGN.md."""
