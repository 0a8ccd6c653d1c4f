#!/usr/bin/env bash
# Proxies beside one another: nginx-light and haproxy are installed if they are missing (root); Envoy joins by ENVOY=/path/to/envoy.
set -euo pipefail
cd "$(dirname "$0")/../.."
for program in nginx haproxy; do
    command -v $program >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${program/nginx/nginx-light}" >/dev/null
done
python3 bench/proxy/count.py "${FAIRLEAD_BUILD:-build}"
exec python3 bench/proxy/run.py "${FAIRLEAD_BUILD:-build}"
