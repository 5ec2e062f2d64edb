"""What `fairness` stands on: the queue of a base model, and the slots of its engines over all gateway processes."""
