"""Compiled code: the arithmetic of every stage, with no checks and no allocation in a loop."""
