"""What an embedding knows, measured: probes, retrieval, clusters, invariances."""
