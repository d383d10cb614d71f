"""What the project publishes: the numbers, claims, paper and report that its runs' files become."""
