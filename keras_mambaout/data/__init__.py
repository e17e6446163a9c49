"""What the data sets of all tasks share."""
