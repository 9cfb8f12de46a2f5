"""Use cases: what callers can ask of Caxton. API routes and other front doors share them."""
