"""What every service of the hub needs and none should write twice."""
