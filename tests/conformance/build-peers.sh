#!/usr/bin/env bash
# Builds kube-apiserver, kube-controller-manager and etcd from their Go modules into a folder outside the tree (default: build/peers), for `make conform`.
# Needs Go and some minutes. Nothing of it is part of the product or of `make test`.
set -euo pipefail
cd "$(dirname "$0")/../.."
KUBERNETES=${KUBERNETES:-1.31.4}
ETCD_VERSION=${ETCD_VERSION:-3.5.16}
dir=${1:-$PWD/build/peers}
command -v go >/dev/null || { echo "error: Go is needed to build kube-apiserver and etcd" >&2; exit 1; }
mkdir -p "$dir/kubernetes" "$dir/etcd"

if [ ! -x "$dir/etcd-server" ]; then
    echo "== etcd $ETCD_VERSION"
    (cd "$dir/etcd" && printf 'module peer\ngo 1.22\n' >go.mod && go get -d "go.etcd.io/etcd/server/v3@v$ETCD_VERSION" 2>/dev/null &&
        go build -o "$dir/etcd-server" go.etcd.io/etcd/server/v3)
fi
if [ ! -x "$dir/kube-apiserver" ] || [ ! -x "$dir/kube-controller-manager" ]; then
    echo "== kube-apiserver, kube-controller-manager $KUBERNETES"
    cd "$dir/kubernetes"
    printf 'module peer\ngo 1.22.0\nrequire k8s.io/kubernetes v%s\n' "$KUBERNETES" >go.mod
    printf '//go:build tools\n\npackage tools\n\nimport (\n_ "k8s.io/kubernetes/cmd/kube-apiserver"\n_ "k8s.io/kubernetes/cmd/kube-controller-manager"\n)\n' >tools.go
    go mod download "k8s.io/kubernetes@v$KUBERNETES"
    # The module replaces its staging modules by folders that a module archive does not hold: name their published versions.
    grep -oE '^\s+k8s.io/[a-z0-9-]+ => \./staging' "$(go env GOMODCACHE)/k8s.io/kubernetes@v$KUBERNETES/go.mod" | awk '{print $1}' |
        while read -r module; do echo "replace $module => $module v0.${KUBERNETES#1.}"; done >>go.mod
    go mod tidy 2>/dev/null
    # Its answers to /version come from the linker; clients want to see numbers there.
    v=k8s.io/component-base/version
    for program in kube-apiserver kube-controller-manager; do
        go build -ldflags "-X $v.gitVersion=v$KUBERNETES -X $v.gitMajor=1 -X $v.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES")" \
            -o "$dir/$program" "k8s.io/kubernetes/cmd/$program"
    done
fi
echo "$dir/kube-apiserver $dir/etcd-server"
