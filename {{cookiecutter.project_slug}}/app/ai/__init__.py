"""Models and the queues in front of them."""
