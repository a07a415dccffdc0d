"""The live side: sources, faces, spotter, pipeline, store, commands and page."""
