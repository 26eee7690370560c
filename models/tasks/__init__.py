"""One file a task: what the one training loop can be asked to learn."""
