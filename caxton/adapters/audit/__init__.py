"""Sinks for the event log: files, syslog, webhooks."""
