#!/bin/sh
# WANT_JSON: Ansible passes the path of a file with the arguments of the task, and reads the result from stdout.
# Copy this file as `kvmsnap` into the directory `library` beside your playbooks.
PATH="$PATH:/usr/local/bin:/usr/bin:/bin"
export PATH
if ! command -v kvmsnap >/dev/null 2>&1; then
  echo '{"changed": false, "failed": true, "msg": "kvmsnap is not installed on this host, or not in PATH"}'
  exit 1
fi
exec kvmsnap ansible "$1"
