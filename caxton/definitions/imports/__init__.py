"""Agent files of other programs, as files of a workspace."""
