"""Trained models on disk: published folders, their manifests, and where they came from."""
