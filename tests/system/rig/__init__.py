"""The parts of the system-test rig: real servers, each private to one test."""
