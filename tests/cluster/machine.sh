#!/usr/bin/env bash
# The first process of a machine of the cluster: it has namespaces of its own (mount, network, processes, host name, IPC, cgroups) and makes a machine of them. Whatever
# runs in it ends with it, and its mounts go with it. machine.sh FOLDER: what is to outlive it, and `ready`, which says that it can be used.
set -euo pipefail
folder=$1
mount --make-rprivate /
umount -R -l /run/netns 2>/dev/null || true # copies of others' namespaces would keep them
mount -t proc proc /proc
mount -t sysfs sysfs /sys
# Of each hierarchy of cgroups only what is below us.
mount -t tmpfs tmpfs /sys/fs/cgroup
while IFS=: read -r _ controllers _; do
    [ -n "$controllers" ] || continue
    mkdir -p "/sys/fs/cgroup/${controllers#name=}"
    case "$controllers" in
        name=*) mount -t cgroup -o "none,$controllers" cgroup "/sys/fs/cgroup/${controllers#name=}" ;;
        *) mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers" ;;
    esac
done </proc/self/cgroup
for hidden in /run /var/lib /var/log /opt; do
    mount -t tmpfs tmpfs "$hidden"
done
mkdir -p /var/lib/kubelet /var/lib/containerd /var/log/pods /run/lock "$folder/kubelet" "$folder/containerd"
mount --bind "$folder/kubelet" /var/lib/kubelet
mount --bind "$folder/containerd" /var/lib/containerd
# Names: nobody is asked.
echo "nameserver 127.0.0.1" >/run/resolv.conf
mount --bind /run/resolv.conf /etc/resolv.conf
# What a kubelet sets for the kernel as a whole is the kernel's owner's: it finds what it wants to see, and changes nothing.
while read -r name value; do
    [ -e "/proc/sys/$name" ] || continue
    mkdir -p "/run/sysctl/${name%/*}"
    echo "$value" >"/run/sysctl/$name"
    mount --bind "/run/sysctl/$name" "/proc/sys/$name"
done <<'SYSCTLS'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SYSCTLS
mount --make-rshared /
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
touch "$folder/ready"
while :; do # children of those that ended are ours: bash takes leave of them
    sleep 86400 &
    wait $! || true
done
