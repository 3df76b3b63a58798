"""Other people's zoos: their formats read into populations of a lake, and populations written in their formats."""
