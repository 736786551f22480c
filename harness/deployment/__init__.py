"""HOW IT IS DEPLOYED: deployment files, judged by rules before anything runs."""
