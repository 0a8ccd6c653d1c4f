/* securityContext: who a container's processes are and what they may do.
 *
 * Capabilities are the usual set of container runtimes without MKNOD: there is no device cgroup
 * here, so a device node would be the device. */
#include <errno.h>
#include <linux/capability.h>

#include "lab/node/container.h"
#include "lab/node/node_priv.h"

#define CAP(name) (1ull << CAP_##name)
#define CAPABILITIES_DEFAULT                                                                       \
    (CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FSETID) | CAP(FOWNER) | CAP(NET_RAW) | CAP(SETGID) |     \
     CAP(SETUID) | CAP(SETFCAP) | CAP(SETPCAP) | CAP(NET_BIND_SERVICE) | CAP(SYS_CHROOT) |         \
     CAP(KILL) | CAP(AUDIT_WRITE))

static const char *const names[] = {
    [CAP_CHOWN] = "CHOWN",
    [CAP_DAC_OVERRIDE] = "DAC_OVERRIDE",
    [CAP_DAC_READ_SEARCH] = "DAC_READ_SEARCH",
    [CAP_FOWNER] = "FOWNER",
    [CAP_FSETID] = "FSETID",
    [CAP_KILL] = "KILL",
    [CAP_SETGID] = "SETGID",
    [CAP_SETUID] = "SETUID",
    [CAP_SETPCAP] = "SETPCAP",
    [CAP_LINUX_IMMUTABLE] = "LINUX_IMMUTABLE",
    [CAP_NET_BIND_SERVICE] = "NET_BIND_SERVICE",
    [CAP_NET_BROADCAST] = "NET_BROADCAST",
    [CAP_NET_ADMIN] = "NET_ADMIN",
    [CAP_NET_RAW] = "NET_RAW",
    [CAP_IPC_LOCK] = "IPC_LOCK",
    [CAP_IPC_OWNER] = "IPC_OWNER",
    [CAP_SYS_MODULE] = "SYS_MODULE",
    [CAP_SYS_RAWIO] = "SYS_RAWIO",
    [CAP_SYS_CHROOT] = "SYS_CHROOT",
    [CAP_SYS_PTRACE] = "SYS_PTRACE",
    [CAP_SYS_PACCT] = "SYS_PACCT",
    [CAP_SYS_ADMIN] = "SYS_ADMIN",
    [CAP_SYS_BOOT] = "SYS_BOOT",
    [CAP_SYS_NICE] = "SYS_NICE",
    [CAP_SYS_RESOURCE] = "SYS_RESOURCE",
    [CAP_SYS_TIME] = "SYS_TIME",
    [CAP_SYS_TTY_CONFIG] = "SYS_TTY_CONFIG",
    [CAP_MKNOD] = "MKNOD",
    [CAP_LEASE] = "LEASE",
    [CAP_AUDIT_WRITE] = "AUDIT_WRITE",
    [CAP_AUDIT_CONTROL] = "AUDIT_CONTROL",
    [CAP_SETFCAP] = "SETFCAP",
    [CAP_MAC_OVERRIDE] = "MAC_OVERRIDE",
    [CAP_MAC_ADMIN] = "MAC_ADMIN",
    [CAP_SYSLOG] = "SYSLOG",
    [CAP_WAKE_ALARM] = "WAKE_ALARM",
    [CAP_BLOCK_SUSPEND] = "BLOCK_SUSPEND",
    [CAP_AUDIT_READ] = "AUDIT_READ",
    [CAP_PERFMON] = "PERFMON",
    [CAP_BPF] = "BPF",
    [CAP_CHECKPOINT_RESTORE] = "CHECKPOINT_RESTORE",
};

/* The container's own word, else the pod's. */
static json_t *security_at(const struct pod_container *c, const char *key)
{
    json_t *own = json_object_get(json_at(c->spec, "securityContext"), key);
    return own ? own : json_object_get(json_at(c->pod->object, "spec.securityContext"), key);
}

/* 0 = there is no such capability. */
static uint64_t capability_of(const char *text)
{
    if (text && strncmp(text, "CAP_", 4) == 0)
        text += 4;
    if (streq(text, "ALL"))
        return UINT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i] && streq(names[i], text))
            return 1ull << i;
    return 0;
}

static uint64_t capability_set(const json_t *list)
{
    uint64_t set = 0;
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i, item) set |=
        capability_of(json_string_value(item));
    return set;
}

/* ALL goes before what is named: drop ALL and add one is that one; add ALL and drop one all others.
 */
uint64_t pod_security_capabilities(const json_t *context)
{
    const json_t *add = json_at(context, "capabilities.add"),
                 *drop = json_at(context, "capabilities.drop");
    if (json_at_bool(context, "privileged", false))
        return UINT64_MAX;
    uint64_t added = capability_set(add), dropped = capability_set(drop);
    if (dropped == UINT64_MAX)
        return added;
    return (CAPABILITIES_DEFAULT | added) & ~dropped;
}

void pod_security_apply(struct pod_container *c, struct container_spec *s)
{
    const json_t *context = json_at(c->spec, "securityContext");
    bool privileged = json_at_bool(context, "privileged", false);
    int64_t fs_group = json_at_int(c->pod->object, "spec.securityContext.fsGroup", 0);
    json_t *gid;
    size_t i;
    c->n_groups = 0;
    json_array_foreach(json_at(c->pod->object, "spec.securityContext.supplementalGroups"), i, gid)
    {
        if (c->n_groups + 1 < ARRAY_LEN(c->groups))
            c->groups[c->n_groups++] = (gid_t)json_integer_value(gid);
    }
    if (fs_group)
        c->groups[c->n_groups++] = (gid_t)fs_group;
    s->uid = (uid_t)json_integer_value(security_at(c, "runAsUser"));
    s->gid = (gid_t)json_integer_value(security_at(c, "runAsGroup"));
    s->groups = c->groups;
    s->n_groups = c->n_groups;
    s->capabilities = pod_security_capabilities(context);
    s->no_new_privs = !json_at_bool(context, "allowPrivilegeEscalation", true);
    s->open_proc = privileged;
    s->read_only_root = json_at_bool(context, "readOnlyRootFilesystem", false);
}

int pod_security_check(const struct pod_container *c, struct err *reterr)
{
    static const char *const lists[] = {"securityContext.capabilities.add",
                                        "securityContext.capabilities.drop"};
    json_t *item;
    size_t i;
    for (size_t l = 0; l < ARRAY_LEN(lists); l++)
        json_array_foreach(json_at(c->spec, lists[l]), i, item)
        {
            if (!capability_of(json_string_value(item)))
                return err_set(reterr, -EINVAL, NULL, "unknown capability \"%s\"",
                               json_string_value(item));
        }
    if (!json_is_true(security_at(c, "runAsNonRoot")) ||
        json_integer_value(security_at(c, "runAsUser")) != 0)
        return 0;
    return err_set(reterr, -EPERM, NULL,
                   "container has runAsNonRoot and image will run as root (pod: \"%s_%s(%s)\", "
                   "container: %s)",
                   c->pod->name, c->pod->ns, c->pod->uid, c->name);
}
