"""The file that `opsctl config init` writes: valid as it is, with a comment for whatever is left out."""

from __future__ import annotations

import re

from opsctl.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_TEXT = """\
# The configuration of opsctl. A wrong key is an error that names this file, its line and the nearest known key.
# `opsctl config show --origin` says where each value comes from; OPSCTL_<SECTION>_<KEY> beats this file.
default_context = "@NAME@"

[contexts.@KEY@]
protected = @PROTECTED@                 # actions want the context's name typed
namespace = "@NAME@"              # part of every incident's key: two environments never share one
# state_dir = "/var/lib/opsctl/@NAME@"   # the journal; default: $XDG_STATE_HOME/opsctl/@NAME@
catalogue = "bundled:"            # the demo platform's services; your own: "services.yaml", beside this file
rules = ["bundled:slo"]           # your own: ["alert_rules/"]
runbooks = ["bundled:"]           # your own: ["runbooks/"]
# silences = "silences.yaml"      # who is not told of what, and until when: `opsctl alert silence` writes into it
# console = true                  # print what would be sent, on stderr

[contexts.@KEY@.prometheus]
url = "http://127.0.0.1:9090"     # anything that is not this machine wants https, or allow_http = true
# token_file = "/run/secrets/prometheus-token"    # or token_command, token_env, basic = { user, password_file }
# headers = { "X-Scope-OrgID" = "games" }
# ca_file = "ca.pem"

# [contexts.@KEY@.pagerduty]      # pages go to the key of the service's team, else to default
# routing_keys = { default = { token_file = "/run/secrets/pd-default" } }
# rest = { token_file = "/run/secrets/pd-rest", from = "oncall@example.net" }

# [contexts.@KEY@.opsgenie]       # api.opsgenie.com, api.eu.opsgenie.com, or what Jira Service Management gives you
# url = "https://api.opsgenie.com"
# api_keys = { default = { token_file = "/run/secrets/opsgenie" } }
# responders = false              # true: the alert's team is its responder

# [contexts.@KEY@.alertmanager]   # as a backend above
# url = "https://alertmanager.example.net"

# [contexts.@KEY@.webhooks.chat]  # as a backend above; the sink's name is webhook/chat
# url = "https://chat.example.net/hooks/opsctl"
# signing = { token_file = "/run/secrets/chat-signing" }

# [[contexts.@KEY@.routes]]       # the first that takes an alert has it; without one, pages go to the first sink
# matchers = ['severity="ticket"']
# sink = "webhook/chat"           # or pagerduty, opsgenie, alertmanager, console, none
# hours = "Mon-Fri 09:00-17:00 Europe/Berlin"
# group_by = ["service"]

# [contexts.@KEY@.limits]         # these are the defaults
# connect = "2s"
# request = "10s"
# cycle = "30s"
# send = "15s"
# concurrency = 8
# body = "64MiB"
# series = 200000

# [contexts.@KEY@.paging]
# hold_open = "5m"
# reopen_after = "15m"
# repeat_interval = "1h"
# not_after = "1h"
# stale_after = "10m"
# runner = 0
# inhibit = true                  # a note on the visible incident of a dependency, in place of a page

# [contexts.@KEY@.offsets]        # evaluate so long ago, for data that comes late
# metrics = "0s"
# traces = "30s"
# logs = "30s"

# [contexts.@KEY@.series]         # who answers for series of log records and spans: backend, or prometheus
# logs = "backend"
# traces = "backend"

# [tui]                           # the board, in every context; these are the defaults
# theme = "dark"                  # or light, mono
# mouse = true
# utc = false
# keys = {}                       # other keys, like { "app.filter" = "f" }; `opsctl tui --keys` lists the ids
"""


def starter(context: str) -> str:
    """The text for one context of that name."""
    if not _NAME.fullmatch(context):
        raise UsageError(f"--context {context}: expected letters, digits, '.', '_' and '-', at most 64")
    key = context if "." not in context else f'"{context}"'
    protected = "true " if context.lower().startswith("prod") else "false"
    return _TEXT.replace("@NAME@", context).replace("@KEY@", key).replace("@PROTECTED@", protected)
