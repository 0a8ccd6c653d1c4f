#!/usr/bin/env bash
# Images of what runs in a cluster. images.sh BIN OUTPUT [REGISTRY [PROGRAM...]]; IMAGE_FLAGS: more for tools/image.py
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1 out=$2 registry=${3:-localhost}
shift $(($# < 3 ? $# : 3))
[ $# -gt 0 ] || set -- agent control proxy cni
for program in "$@"; do
    # The agent alone is root: a user who is not has no capability after exec, whatever the pod is given. It is left NET_ADMIN alone.
    user=65532:65532
    [ "$program" != agent ] || user=0:0
    file=$bin/fairlead-$program also=()
    # Root writes to the node's folders, without any capability. The plugin is what it puts there.
    [ "$program" != cni ] || { user=0:0 file=$bin/fairlead-cni-node also=(--also "$bin/fairlead-cni"); }
    # shellcheck disable=SC2086 # words
    tools/image.py ${IMAGE_FLAGS:-} "$file" "${also[@]}" --name "$registry/fairlead/$program" --user "$user" --output "$out/$program.tar"
done
