"""What can be taught: built-in tiny models, and pretrained ones, behind one protocol (`model`)."""
