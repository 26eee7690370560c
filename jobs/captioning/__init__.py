"""The parts of the caption job: measuring on the cluster, asking an endpoint, batches, what it would cost."""
