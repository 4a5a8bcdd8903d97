"""The parts that every network shares: rows of packed segments, attention over them, layers."""
