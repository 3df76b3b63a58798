"""The commands of the command line, one a file: parse, call one library function, print what it returns."""
