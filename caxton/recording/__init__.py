"""Records of work: content and events."""
