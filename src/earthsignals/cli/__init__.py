"""The command line, `earthsignals`: one file per command, one per pipeline."""
