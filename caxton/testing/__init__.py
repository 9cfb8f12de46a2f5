"""Test suites for extensions of Caxton."""
