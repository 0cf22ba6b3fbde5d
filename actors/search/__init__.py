"""Search, hashtag timelines, suggestions and trends of one shard; see DESIGN.md."""
