"""Building blocks of the graphs: pure functions of explicit arguments that take and return MXNet symbols."""
