"""A whole corpus: every input is in the output, or in the list of failures with a reason."""
