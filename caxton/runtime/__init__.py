"""The only place that wires: settings, engine, worker, API."""
