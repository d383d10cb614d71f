"""The packed store: every record once, prepared, in one file that can be mapped into memory."""
