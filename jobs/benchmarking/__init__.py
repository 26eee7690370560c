"""The benchmark's parts: the simulated archive, the tasks and rows, one cell of the matrix."""
