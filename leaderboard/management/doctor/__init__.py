"""What `manage.py doctor` examines: the site's own address from outside, and what the server stands on from inside."""
