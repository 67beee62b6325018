"""What times: operators beside their peers."""
