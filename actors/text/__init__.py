"""What API workers and shards share of language: words, queries, highlights, corrections."""
