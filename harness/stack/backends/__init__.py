"""What a stack runs on: local processes, or containers; and which of them is taken."""
