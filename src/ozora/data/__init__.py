"""Clips and captions at rest, and packed into batches."""
