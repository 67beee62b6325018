"""What an experiment asks to be learned and measured."""
