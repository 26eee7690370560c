"""What is put on the vision tower for a downstream task: a detector and a mask transformer."""
