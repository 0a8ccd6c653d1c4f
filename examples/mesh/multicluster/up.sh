#!/usr/bin/env bash
# Two labs that are one mesh: each its own control plane and network, one root of trust, gateways between them.
#   up.sh [EAST [WEST]]      names of the labs (east, west); needs `fairlead` on PATH (or FAIRLEAD), root, openssl
# On clusters of your own the same steps are README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
deploy=$(cd "$here/../../../deploy" && pwd)
fairlead=${FAIRLEAD:-fairlead}
labs=("${1:-east}" "${2:-west}")
clusters=(east west)
ca=$(mktemp -d)
trap 'rm -rf "$ca"' EXIT

# A root, and for each cluster a CA of its own under it.
new=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n' >"$ca/ext"
openssl req -x509 "${new[@]}" -keyout "$ca/root.key" -out "$ca/root.pem" -subj /O=mesh/CN=root -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
for cluster in "${clusters[@]}"; do
    openssl req -new "${new[@]}" -keyout "$ca/$cluster.key" -out "$ca/$cluster.csr" -subj "/O=mesh/CN=$cluster" 2>/dev/null
    openssl x509 -req -in "$ca/$cluster.csr" -CA "$ca/root.pem" -CAkey "$ca/root.key" -days 730 -extfile "$ca/ext" -out "$ca/$cluster.pem" 2>/dev/null
done

secret() { # NAME: of the Secret `cacerts`
    printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: cacerts, namespace: fairlead-system}\nstringData:\n'
    for entry in "ca-cert.pem $1.pem" "ca-key.pem $1.key" "cert-chain.pem $1.pem" "root-cert.pem root.pem"; do
        printf '  %s: |\n' "${entry% *}"
        sed 's/^/    /' "$ca/${entry#* }"
    done
}

in_lab() { # N, arguments of fairlead
    KUBECONFIG=$("$fairlead" lab kubeconfig --name "${labs[$1]}" --path) "$fairlead" "${@:2}"
}
told() { in_lab "$1" get mutatingwebhookconfigurations -o 'jsonpath={.items[*].webhooks[*].clientConfig.caBundle}' | grep -q .; }

network() { # NAME FILE: the namespace of control planes says which network pods are on
    sed "/^kind: Namespace/{n;s/name: fairlead-system/&, labels: {topology.istio.io\/network: $1}/}" "$2"
}

start() { # N: a lab, in it the mesh, whose cluster and network have a name of their own
    cluster=${clusters[$1]}
    "$fairlead" lab up --name "${labs[$1]}" --nodes 1
    network "$cluster" "$deploy/ingress/ingress.yaml" >"$ca/$cluster.yaml"
    sed '/^---/q' "$ca/$cluster.yaml" | in_lab "$1" apply -f - # the namespace, for what stands in it before all else
    secret "$cluster" | in_lab "$1" apply -f -
    in_lab "$1" apply -f "$deploy/crds" -f "$ca/$cluster.yaml"
    sed "s/^\( *\)- --injection-bind-address.*/&\n\1- --cluster-id=$cluster/" "$deploy/mesh/mesh.yaml" | in_lab "$1" apply -f -
    sed "s/NETWORK/$cluster/" "$here/east-west.yaml" | in_lab "$1" apply -f -
    until told "$1"; do sleep 0.1; done
}
start 0 >"$ca/log.0" 2>&1 &
start 1 >"$ca/log.1" 2>&1 || { cat "$ca/log.1" >&2; exit 1; }
wait $! || { cat "$ca/log.0" >&2; exit 1; }

# They reach one another, and know one another.
"$fairlead" lab connect "${labs[@]}"
in_lab 1 create-remote-secret --name west | in_lab 0 apply -f -
in_lab 0 create-remote-secret --name east | in_lab 1 apply -f -
