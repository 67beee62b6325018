"""What is said of graphs and checkpoints: for a terminal, JSON, Graphviz, web pages."""
