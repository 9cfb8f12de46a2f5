"""What work leaves behind: content and events."""
