#!/usr/bin/env bash
# How long nobody answers for an address whose node has died: 20 kills (root).
exec "$(dirname "$0")/failover.py" 20
