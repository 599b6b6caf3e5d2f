"""opsctl: is the platform healthy, how do we know, who must be told, and what do they do next."""
