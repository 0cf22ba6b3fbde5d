"""Pictures, video and sound: what they are, and what is made of them, in caged processes."""
