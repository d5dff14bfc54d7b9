"""Segmentation networks: images (N, bands, H, W) in, logits (N, classes, H, W) out."""
