/* Taking a lab's network down, whatever state it is in.
 *
 * The namespaces' names say what belongs to the lab; the processes are found by the identity of the
 * network namespace they live in, so nothing depends on records that a killed supervisor did not
 * write. Kill first, then unpin, then look again: a process that was being born while we looked is
 * found in the next round. The identities seen are kept over the rounds, because an unpinned
 * namespace has no name any more. Deleting the host's veth takes the other end with it. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "lab/fabric.h"
#include "nl/netns.h"
#include "nl/rtnl.h"

enum { DOWN_TIMEOUT_MS = 5000 };

struct down {
    VEC(char *) names;
    VEC(ino_t) inodes;
    struct fabric_removed *removed; /* may be NULL */
    const char *only;               /* a name's exact text or prefix up to a dot */
    const char *kept;               /* this one stays; NULL = none does */
    ino_t shared;                   /* where only containers are killed; 0 = nowhere */
    ino_t own_pids;                 /* our PID namespace: who lives in another one is a container */
};

void fabric_removed_done(struct fabric_removed *r)
{
    VEC_FOREACH (name, &r->names)
        free(*name);
    vec_done(&r->names);
}

static void down_done(struct down *d)
{
    VEC_FOREACH (name, &d->names)
        free(*name);
    vec_done(&d->names);
    vec_done(&d->inodes);
}

static void note_name(const char *name, void *user)
{
    struct down *d = user;
    if (d->kept && streq(name, d->kept))
        return;
    vec_push(&d->names, xstrdup(name));
    ino_t inode = netns_inode(name);
    VEC_FOREACH (seen, &d->inodes)
        if (*seen == inode)
            return;
    if (inode)
        vec_push(&d->inodes, inode);
}

static int down_look(struct down *d)
{
    VEC_FOREACH (name, &d->names)
        free(*name);
    vec_clear(&d->names);
    return netns_each(d->only, note_name, d);
}

/* 0 = there is no such process. */
static ino_t namespace_of(const char *pid, const char *kind)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%.20s/ns/%s", pid, kind);
    return stat(path, &st) < 0 ? 0 : st.st_ino;
}

static bool is_ours(const struct down *d, const char *pid)
{
    ino_t net = namespace_of(pid, "net");
    for (size_t i = 0; i < d->inodes.n && net; i++)
        if (d->inodes.v[i] == net)
            return true;
    ino_t pids = net && net == d->shared ? namespace_of(pid, "pid") : 0;
    return pids && pids != d->own_pids;
}

/* How many processes of the lab there were; each has been told to die. */
static unsigned down_kill(struct down *d)
{
    unsigned killed = 0;
    DIR *proc = opendir("/proc");
    if (!proc)
        return 0;
    for (struct dirent *e; (e = readdir(proc));) {
        pid_t pid = (pid_t)atoi(e->d_name);
        if (isdigit((unsigned char)e->d_name[0]) && pid != getpid() && is_ours(d, e->d_name) &&
            kill(pid, SIGKILL) == 0)
            killed++;
    }
    closedir(proc);
    return killed;
}

static int down_unpin(struct down *d, struct err *reterr)
{
    VEC_FOREACH (name, &d->names) {
        int r = netns_remove(*name, reterr);
        if (r < 0)
            return r;
        if (d->removed)
            vec_push(&d->removed->names, xasprintf("network namespace %s", *name));
    }
    return 0;
}

static int down_until_done(struct down *d, struct err *reterr)
{
    uint64_t deadline = time_mono_ms() + DOWN_TIMEOUT_MS;
    for (bool first = true;; first = false) {
        int r = down_look(d);
        if (r < 0)
            return err_set(reterr, r, NULL, "list " NETNS_DIR ": %s", strerror(-r));
        unsigned killed = down_kill(d);
        if (d->removed && first)
            d->removed->processes += killed;
        r = down_unpin(d, reterr);
        if (r < 0)
            return r;
        if (killed == 0 && d->names.n == 0)
            return 0;
        if (time_mono_ms() > deadline)
            return err_set(reterr, -ETIMEDOUT, NULL, "%u processes of %s do not die", killed,
                           d->only);
        if (killed)
            (void)poll(NULL, 0, 2);
    }
}

static int down_run(const char *prefix, struct fabric_removed *removed, struct err *reterr)
{
    __attribute__((cleanup(down_done))) struct down d = {.only = prefix, .removed = removed};
    return down_until_done(&d, reterr);
}

int fabric_down(const char *lab, struct fabric_removed *ret, struct err *reterr)
{
    if (!str_is_dns1123_label(str_from(lab)))
        return err_set(reterr, -EINVAL, NULL, "'%s' is not the name of a lab", lab);
    char name[FABRIC_NAME_BYTES], link[FABRIC_LINK_BYTES];
    int r = down_run(fabric_netns(lab, name), ret, reterr);
    if (r < 0)
        return r;
    AUTO(nl_socket) struct nl_socket *s = NULL;
    r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r < 0)
        return r;
    r = rtnl_link_remove(s, fabric_host_link(lab, link), reterr);
    if (r == 0 && ret)
        vec_push(&ret->names, xasprintf("link %s", link));
    return r == -ENODEV ? 0 : r;
}

int fabric_pods_down(const char *lab, const char *node, struct err *reterr)
{
    char name[FABRIC_NAME_BYTES];
    __attribute__((cleanup(down_done))) struct down d = {.own_pids = namespace_of("self", "pid")};
    d.only = d.kept = fabric_node_netns(lab, node, name);
    d.shared = namespace_of("self", "net");
    if (d.shared == namespace_of("1", "net")) /* the machine's own: others have containers there */
        d.shared = 0;
    return down_until_done(&d, reterr);
}

struct each_lab {
    void (*fn)(const char *lab, void *user);
    void *user;
};

static void each_lab(const char *name, void *user)
{
    const struct each_lab *e = user;
    if (strncmp(name, "fl.", 3) == 0 && !strchr(name + 3, '.'))
        e->fn(name + 3, e->user);
}

int fabric_each(void (*fn)(const char *lab, void *user), void *user)
{
    struct each_lab e = {fn, user};
    return netns_each("fl", each_lab, &e);
}
