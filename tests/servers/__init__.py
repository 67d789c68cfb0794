"""Real servers for tests alone: started on free loopback ports, ended by their pids."""
