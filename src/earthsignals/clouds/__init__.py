"""Clouds: from satellite scenes to embeddings of how convection organises."""
