"""The engine without a model, and its faults."""
