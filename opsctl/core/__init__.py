"""What is judged and what follows from it: pure, no I/O, no clock."""
