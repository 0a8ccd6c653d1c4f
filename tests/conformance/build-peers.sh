#!/usr/bin/env bash
# Builds other people's programs from their Go modules into a folder outside the tree: what conformance and benchmarks run beside ours.
#   build-peers.sh [DIR [PROGRAM...]]     default: build/peers, and etcd-server and kube-apiserver
# Programs: etcd-server kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl coredns e2e.test agnhost h2spec pilot-discovery pilot-agent traefik prometheus otel-collector helm-v3 helm-v4 runtime iptables frr podmonitors.yaml. What is there is kept.
# Needs Go and some minutes. Nothing of it is part of the product or of `make test`.
set -euo pipefail
cd "$(dirname "$0")/../.."
KUBERNETES=${KUBERNETES:-1.37.2}
ETCD_VERSION=${ETCD_VERSION:-3.6.16}
COREDNS=${COREDNS:-1.15.0}
ISTIO=${ISTIO:-0.0.0-20260827124520-eed52ebb66ad}
H2SPEC=${H2SPEC:-2.2.1+incompatible}
TRAEFIK=${TRAEFIK:-3.6.12}
HELM_3=${HELM_3:-3.22.0} HELM_4=${HELM_4:-4.3.1} # as tests/e2e/clients/install.sh
PROMETHEUS_OPERATOR=${PROMETHEUS_OPERATOR:-0.85.0}
dir=${1:-$PWD/build/peers}
shift || true
[ $# -gt 0 ] || set -- etcd-server kube-apiserver
[ "$*" = frr ] || command -v go >/dev/null || { echo "error: Go is needed to build $*" >&2; exit 1; }
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# A module of our own that needs one package of theirs: module PATH VERSION PACKAGE FOLDER
module() {
    mkdir -p "$4"
    (cd "$4" && printf 'module peer\ngo 1.22\n' >go.mod && printf '//go:build tools\n\npackage tools\n\nimport _ "%s"\n' "$3" >tools.go &&
        go get "$1@v$2" >/dev/null 2>&1 && go mod tidy >/dev/null 2>&1)
}

# Kubernetes replaces its staging modules by folders that a module archive does not hold: their published versions are named instead.
kubernetes_module() {
    mkdir -p "$dir/kubernetes"
    (
        cd "$dir/kubernetes"
        printf 'module peer\ngo 1.22.0\nrequire k8s.io/kubernetes v%s\n' "$KUBERNETES" >go.mod
        {
            printf '//go:build tools\n\npackage tools\n\nimport (\n'
            printf '\t_ "k8s.io/kubernetes/%s"\n' cmd/kube-apiserver cmd/kube-controller-manager cmd/kube-scheduler cmd/kubelet cmd/kube-proxy cmd/kubectl test/e2e test/images/agnhost
            printf ')\n'
        } >tools.go
        go mod download "k8s.io/kubernetes@v$KUBERNETES"
        grep -oE '^\s+k8s.io/[a-z0-9-]+ => \./staging' "$(go env GOMODCACHE)/k8s.io/kubernetes@v$KUBERNETES/go.mod" | awk '{print $1}' |
            while read -r name; do echo "replace $name => $name v0.${KUBERNETES#1.}"; done >>go.mod
        go mod tidy >tidy.log 2>&1
        touch ready
    )
}

for program in "$@"; do
    [ ! -x "$dir/$program" ] || continue
    case "$program" in
        etcd-server)
            echo "== etcd $ETCD_VERSION"
            module go.etcd.io/etcd/server/v3 "$ETCD_VERSION" go.etcd.io/etcd/server/v3 "$dir/etcd"
            (cd "$dir/etcd" && go build -o "$dir/etcd-server" go.etcd.io/etcd/server/v3) ;;
        coredns)
            echo "== CoreDNS $COREDNS"
            module github.com/coredns/coredns "$COREDNS" github.com/coredns/coredns "$dir/coredns-module"
            (cd "$dir/coredns-module" && go build -o "$dir/coredns" github.com/coredns/coredns) ;;
        pilot-discovery | pilot-agent)
            # With the agent comes the template of the bootstrap that it gives to its Envoy.
            echo "== $program of Istio $ISTIO"
            [ -e "$dir/istio/go.sum" ] || module istio.io/istio "$ISTIO" istio.io/istio/pilot/cmd/pilot-discovery "$dir/istio"
            (cd "$dir/istio" && go build -mod=mod -o "$dir/$program" "istio.io/istio/pilot/cmd/$program")
            install -m 644 "$(go env GOMODCACHE)/istio.io/istio@v$ISTIO/tools/packaging/common/envoy_bootstrap.json" "$dir/envoy_bootstrap.json" ;;
        prometheus)
            echo "== Prometheus, Debian's"
            mkdir -p "$dir/prometheus-package"
            (cd "$dir/prometheus-package" && apt-get download prometheus >/dev/null && dpkg -x prometheus_*.deb .)
            cp "$dir/prometheus-package/usr/bin/promtool" "$dir/promtool"
            cp "$dir/prometheus-package/usr/bin/prometheus" "$dir/prometheus" ;;
        runtime)
            echo "== containerd, runc, network plugins, Debian's"
            mkdir -p "$dir/runtime.new"
            (cd "$dir/runtime.new" && apt-get download containerd runc containernetworking-plugins >/dev/null 2>&1 && for package in *.deb; do dpkg -x "$package" .; done && rm ./*.deb)
            mv "$dir/runtime.new" "$dir/runtime" ;;
        iptables)
            # Both of its kinds, each under the names that kube-proxy calls: iptables/nft, iptables/legacy; their libraries beside them.
            echo "== iptables, Debian's"
            mkdir -p "$dir/iptables.new"
            (
                cd "$dir/iptables.new"
                apt-get download iptables libip4tc2 libip6tc2 libxtables12 libnftnl11 libmnl0 libnetfilter-conntrack3 libnfnetlink0 >/dev/null 2>&1
                for package in *.deb; do dpkg -x "$package" .; done && rm ./*.deb
                for kind in nft legacy; do
                    mkdir "$kind"
                    for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do ln -s "../usr/sbin/xtables-$kind-multi" "$kind/$name"; done
                done
            )
            mv "$dir/iptables.new" "$dir/iptables" ;;
        frr)
            # Nothing of it is installed, and nothing started: programs and their libraries in a folder.
            echo "== FRR, Debian's"
            mkdir -p "$dir/frr.new"
            (
                cd "$dir/frr.new"
                apt-get download frr libyang2 libjson-c5 libcap2 libpam0g libreadline8 libc-ares2 libcrypt1 >/dev/null 2>&1
                for package in *.deb; do dpkg -x "$package" .; done && rm ./*.deb
            )
            mv "$dir/frr.new" "$dir/frr" ;;
        podmonitors.yaml)
            echo "== definition of PodMonitors, Prometheus operator $PROMETHEUS_OPERATOR"
            go mod download "github.com/prometheus-operator/prometheus-operator@v$PROMETHEUS_OPERATOR"
            install -m 755 "$(go env GOMODCACHE)/github.com/prometheus-operator/prometheus-operator@v$PROMETHEUS_OPERATOR/example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml" "$dir/$program" ;;
        traefik)
            # From its own module, so that its replacements count. The module has no built dashboard: a note stands in its place, and is what is embedded.
            # Later versions replace a module by a folder that the archive does not hold.
            echo "== Traefik $TRAEFIK"
            go mod download "github.com/traefik/traefik/v3@v$TRAEFIK"
            rm -rf "$dir/traefik-module"
            cp -r "$(go env GOMODCACHE)/github.com/traefik/traefik/v3@v$TRAEFIK" "$dir/traefik-module"
            chmod -R u+w "$dir/traefik-module"
            (cd "$dir/traefik-module" && go build -ldflags "-X github.com/traefik/traefik/v3/pkg/version.Version=$TRAEFIK" -o "$dir/traefik" ./cmd/traefik) ;;
        helm-v3|helm-v4)
            major=${program#helm-v}
            version=$HELM_3
            [ "$major" = 3 ] || version=$HELM_4
            echo "== Helm $version"
            module "helm.sh/helm/v$major" "$version" "helm.sh/helm/v$major/cmd/helm" "$dir/helm$major-module"
            (cd "$dir/helm$major-module" && go build -o "$dir/$program" "helm.sh/helm/v$major/cmd/helm") ;;
        otel-collector)
            # The collector's own receivers of OTLP and Zipkin, and an exporter that prints: what its builder would put together. Versions: its go.mod and go.sum.
            echo "== OpenTelemetry collector"
            (cd tests/conformance/otel && go build -o "$dir/otel-collector" .) ;;
        h2spec)
            echo "== h2spec $H2SPEC"
            module github.com/summerwind/h2spec "$H2SPEC" github.com/summerwind/h2spec/cmd/h2spec "$dir/h2spec-module"
            (cd "$dir/h2spec-module" && go build -o "$dir/h2spec" github.com/summerwind/h2spec/cmd/h2spec) ;;
        *)
            [ -e "$dir/kubernetes/ready" ] || kubernetes_module
            echo "== $program $KUBERNETES"
            cd "$dir/kubernetes"
            case "$program" in
                e2e.test) go test -c -o "$dir/e2e.test" k8s.io/kubernetes/test/e2e ;;
                agnhost) go build -o "$dir/agnhost" k8s.io/kubernetes/test/images/agnhost ;;
                *)
                    # Their answers to /version come from the linker; clients want to see numbers there.
                    v=k8s.io/component-base/version
                    go build -ldflags "-X $v.gitVersion=v$KUBERNETES -X $v.gitMajor=1 -X $v.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES")" \
                        -o "$dir/$program" "k8s.io/kubernetes/cmd/$program" ;;
            esac
            cd - >/dev/null ;;
    esac
done
