#!/usr/bin/env bash
# The first process of the virtual machine, after its root is there: inside.sh TREE KERNEL RESULTS. Makes a machine of it, runs each step, writes RESULTS/STEP.log and a line of RESULTS/steps
# (name, exit code, seconds), and turns the machine off. The root is the machine's own files, with a memory of what is written over them.
set -u
tree=$1 kernel=$2 results=$3
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 FAIRLEAD_BIN=$tree/build/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for fresh in /dev/shm /run /tmp /var/tmp /var/lib/fairlead; do
    mkdir -p "$fresh"
    mount -t tmpfs -o mode=1777 tmpfs "$fresh"
done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/lib/modules/$(uname -r)"
mount --bind "$kernel/lib/modules/$(uname -r)" "/lib/modules/$(uname -r)"
mkdir -p "$results"
mount -t 9p -o trans=virtio,version=9p2000.L results "$results"
# shellcheck disable=SC1091 # PATH of who began it, and how slow this machine is
. "$results/environment"
ip link set lo up
hostname kernels
ulimit -n 20000
cd "$tree" || exit 1
uname -r >"$results/uname"

step() { # step NAME COMMAND...
    local name=$1 began=$SECONDS code=0
    [ -z "${ONLY:-}" ] || [[ " $ONLY " = *" $name "* ]] || return 0
    shift
    echo "== $name"
    "$@" >"$results/$name.log" 2>&1 </dev/null || code=$?
    echo "$name $code $((SECONDS - began))" >>"$results/steps"
    echo "== $name: exit $code, $((SECONDS - began)) s"
}
bare() { # with nf_tables alone, and no way to load more: check and the agent name what is missing; nothing of the probes stays
    modprobe nf_tables && modprobe veth
    local loader config=/tmp/nobody.kubeconfig said
    loader=$(</proc/sys/kernel/modprobe)
    echo /bin/false >/proc/sys/kernel/modprobe
    printf '%s\n' 'apiVersion: v1' 'kind: Config' 'current-context: c' 'contexts: [{name: c, context: {cluster: c, user: u}}]' \
        'clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]' 'users: [{name: u, user: {}}]' >$config
    said=$("$FAIRLEAD_BIN/fairlead" check --only FL-KERN-006; "$FAIRLEAD_BIN/fairlead-agent" --kubeconfig $config --cluster-cidr 10.0.0.0/8 2>&1)
    echo "$loader" >/proc/sys/kernel/modprobe
    echo "$said"
    nft list tables
    [ "$(grep -c CONFIG_NFT_NUMGEN <<<"$said")" = 2 ] && grep -q '^FAIL' <<<"$said" && [ -z "$(nft list tables)" ]
}
step bare bare
step check "$FAIRLEAD_BIN/fairlead" check
units() {
    local failed=0 count=0 test
    for test in build/tests/unit_*; do
        "$test" 2>&1 || failed=$((failed + 1)) # 77, skipped, has no excuse here
        count=$((count + 1))
    done
    echo "$((count - failed)) passed, $failed failed in ${SECONDS}s"
    [ "$failed" = 0 ] && [ "$count" -gt 3 ]
}
step unit units
step packets python3 -m pytest -p no:cacheprovider tests/e2e/lab/test_packets.py
# Where all is slow a pod has to go on answering for longer until all nodes know that it goes; the examples are for machines as they are.
[ -z "${FAIRLEAD_SANITIZED:-}" ] || sed -i 's/"--drain", "2s"/"--drain", "10s"/' examples/first-light/*.yaml
for act in 1 2 3; do
    [ -z "${ONLY:-}" ] || [[ " $ONLY " = *" act-$act "* ]] || continue
    step "act-$act" timeout 1800 scripts/demo.sh "$FAIRLEAD_BIN" --act "$act"
    for log in /var/lib/fairlead/labs/demo/logs/*; do [ "$act" = 3 ] || [ ! -s "$log" ] || tail -n 50 "$log" >>"$results/act-$act-lab.log" 2>/dev/null; done
    "$FAIRLEAD_BIN/fairlead" lab down --name demo --quiet >>"$results/act-$act.log" 2>&1
done
dmesg >"$results/dmesg.log" 2>&1
sync
echo o >/proc/sysrq-trigger
sleep 60
