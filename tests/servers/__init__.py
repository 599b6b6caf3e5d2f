"""Real servers for the tests: built once into the user's cache, started on free loopback ports, ended by pid."""
