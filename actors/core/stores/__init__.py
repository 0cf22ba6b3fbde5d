"""What a shard keeps: accounts, edges, tweets, marks and papers; see ../DESIGN.md."""
