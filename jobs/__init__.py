"""One Ray job a file: ``python -m jobs.tile --workspace W …``, or the same through ``ray job submit``."""
