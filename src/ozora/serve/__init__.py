"""How do others ask for clips over HTTP? The Videos API, durable jobs behind it, and one packed renderer."""
