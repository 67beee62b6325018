"""``dcn report``: pages of what runs did."""
