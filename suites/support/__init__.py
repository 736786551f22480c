"""What tests need and nobody judges: servers and stacks to test against, made histories, and what others read of us."""
