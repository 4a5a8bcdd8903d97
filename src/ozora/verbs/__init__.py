"""What can be asked for from a shell? Each verb is a function whose signature is its command line."""
