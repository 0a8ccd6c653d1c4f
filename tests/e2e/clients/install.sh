#!/usr/bin/env bash
# Installs the third-party clients that `make clients` drives, each of one version, into a folder (default: build/clients).
# Needs the registries of PyPI, npm, Maven and Go, and the tools of each. What cannot be had ends it: nothing is skipped.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../../../build/clients}
PYTHON_CLIENT=37.0.2 NODE_CLIENT=1.4.0 FABRIC8=7.9.0 CLIENT_GO=0.37.2 HELM_4=4.3.1 HELM_3=3.22.0
for tool in pip npm mvn java go; do
    command -v $tool >/dev/null || { echo "error: $tool is needed to install the clients" >&2; exit 1; }
done
mkdir -p "$dir"
cd "$dir"

# once NAME VERSION: true if this is to be installed; DONE is what says that it was
once() {
    [ "$(cat "$1.version" 2>/dev/null)" != "$2" ] && echo "== $1 $2"
}
done_with() { echo "$2" >"$1.version"; }

if once python "$PYTHON_CLIENT"; then
    rm -rf python
    pip install -q --root-user-action=ignore --target python "kubernetes==$PYTHON_CLIENT"
    done_with python "$PYTHON_CLIENT"
fi
if once node "$NODE_CLIENT"; then
    rm -rf node && mkdir node
    (cd node && npm install --silent --no-fund --no-audit "@kubernetes/client-node@$NODE_CLIENT")
    done_with node "$NODE_CLIENT"
fi
if once java "$FABRIC8"; then
    rm -rf java && mkdir java
    sed "s/@FABRIC8@/$FABRIC8/" "$here/drivers/java/pom.xml" >java/pom.xml
    (cd java && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib)
    done_with java "$FABRIC8"
fi
if once go "$CLIENT_GO"; then
    rm -rf go && mkdir go
    cp "$here/drivers/go/main.go" go/
    (cd go && printf 'module clients\n\ngo 1.24\n' >go.mod &&
        go get "k8s.io/client-go@v$CLIENT_GO" "k8s.io/api@v$CLIENT_GO" "k8s.io/apimachinery@v$CLIENT_GO" 2>/dev/null && go mod tidy 2>/dev/null)
    done_with go "$CLIENT_GO"
fi
cp "$here/drivers/go/main.go" go/
(cd go && go build -o ../client-go .)
for version in "$HELM_4" "$HELM_3"; do
    major=${version%%.*}
    if once "helm-v$major" "$version"; then
        rm -rf "helm$major" && mkdir "helm$major"
        (cd "helm$major" && printf 'module clients\n\ngo 1.24\n' >go.mod &&
            printf '//go:build tools\n\npackage tools\n\nimport _ "helm.sh/helm/v%s/cmd/helm"\n' "$major" >tools.go &&
            go get "helm.sh/helm/v$major@v$version" 2>/dev/null && go mod tidy 2>/dev/null &&
            go build -o "../helm-v$major" "helm.sh/helm/v$major/cmd/helm")
        done_with "helm-v$major" "$version"
    fi
done
echo "clients: $(cat python.version node.version java.version go.version helm-v4.version helm-v3.version | xargs)"
