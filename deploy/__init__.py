"""What installs, starts and checks the project on one machine; the application imports none of it."""
