"""Dense embeddings of whole scenes."""
