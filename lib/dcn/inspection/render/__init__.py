"""Reports for a terminal, JSON, Graphviz and web pages."""
