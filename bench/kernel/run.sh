#!/usr/bin/env bash
# Services in the kernel: see run.py.
set -euo pipefail
exec python3 "$(dirname "$0")/run.py"
