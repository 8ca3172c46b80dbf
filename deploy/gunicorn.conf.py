"""How gunicorn serves the application, in the demo, under test and in production."""

import os

bind = os.environ.get("WEB_BIND", "127.0.0.1:8000")
worker_class = "gthread"
# Each thread holds one database connection: workers x threads must stay under max_connections.
workers = int(os.environ.get("WEB_CONCURRENCY") or max(2, os.cpu_count() or 1))
threads = int(os.environ.get("WEB_THREADS") or 8)
backlog = 2048
# A proxy in front keeps its connections for about a minute; it must be the one that closes them.
keepalive = 75
timeout = 60
graceful_timeout = 25
# Nothing leaks that a restart would have to cure, and a restart costs the requests in flight.
max_requests = 0
# Read once, before the processes are made: each is there at once, one that replaces a killed one too.
preload_app = True
# Otherwise gunicorn leaves a socket in the home folder, where two servers would meet.
control_socket_disable = True
errorlog = "-"
# Paths without their query, which may hold tokens.
accesslog = "-" if os.environ.get("WEB_ACCESS_LOG", "off") == "on" else None
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s bytes %(M)s ms'
