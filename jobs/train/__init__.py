"""The one training loop, on Ray Train and DeepSpeed, and SCIO's passes on Ray Data."""
