"""What extensions of Caxton are tested with."""
