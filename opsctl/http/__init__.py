"""One policy for every HTTP client: deadline, size, TLS, retries, error mapping.

- One total deadline a request, from the wait for a free connection to the last byte: a server that drips ends at it.
- TLS is always verified; plain http only to loopback unless the configuration allows it.
- Redirects are errors: credentials never leave the host that they were meant for.
- One retry at most: a kept-alive connection that was gone before any byte came, or a credential that has changed.
"""

from opsctl.http.client import MIB, Client
from opsctl.http.endpoint import Answer, Endpoint, HttpProblem, one_line, status_problem

__all__ = ["MIB", "Answer", "Client", "Endpoint", "HttpProblem", "one_line", "status_problem"]
