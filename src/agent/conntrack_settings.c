/* Values and order as kube-proxy's (pkg/proxy/conntrack/sysctls.go), with two differences: what a
 * container may not write is told and does not end the program, and the hash size, which is the
 * whole machine's, is left alone where the maximum is not ours to write (network namespaces but the
 * first). A setting is read before it is written. */
#include "agent/conntrack_settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

#define SYSCTLS  "/proc/sys/net/netfilter/"
#define HASHSIZE "/sys/module/nf_conntrack/parameters/hashsize"

enum { MAX_LIMIT = 1048576 };

static int read_number(const char *path, int64_t *ret)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    int code = n < 0 ? -errno : 0;
    close(fd);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    return code < 0 ? code : str_to_i64(str_of(text, (size_t)n), ret);
}

static int write_number(const char *path, int64_t v)
{
    char text[32];
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int n = snprintf(text, sizeof(text), "%lld\n", (long long)v);
    int code = write(fd, text, (size_t)n) == n ? 0 : -errno;
    close(fd);
    return code;
}

static const char *remedy(int code)
{
    return code == -ENOENT ? "the kernel has no connection tracking here"
           : code == -EROFS || code == -EACCES || code == -EPERM
               ? "this container or network namespace may not: set it on the host, or let the "
                 "agent "
                 "write /proc/sys"
               : "see the cause";
}

/* 1 = set, 0 = it was so; negative: told. */
static int set(const struct proxy_config *c, const char *field, const char *path, int64_t v,
               bool at_least)
{
    int64_t now = -1;
    int r = read_number(path, &now);
    if (r == 0 && (at_least ? now >= v : now == v))
        return 0;
    if (r != -ENOENT)
        r = write_number(path, v);
    if (r == 0) {
        log_info("connection tracking", kv_s("set", path), kv_i("to", v), kv_i("from", now));
        return 1;
    }
    LOG_AT(proxy_config_has(c, field) ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
           "connection tracking is not set as kube-proxy would", kv_s("field", field),
           kv_s("path", path), kv_i("is", now), kv_i("wanted", v), kv_s("cause", strerror(-r)),
           kv_s("hint", remedy(r)));
    return r;
}

static int64_t wanted_max(const struct proxy_config *c, unsigned cpus)
{
    int64_t per_core = proxy_config_count(c, "conntrack.maxPerCore"),
            floor = proxy_config_count(c, "conntrack.min"), scaled = per_core * (int64_t)cpus;
    if (per_core <= 0)
        return 0;
    return scaled > MAX_LIMIT ? MAX_LIMIT : MAX(scaled, floor);
}

static bool is_writable(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static unsigned set_max(const struct proxy_config *c, const char *root, unsigned cpus)
{
    static const char field[] = "conntrack.maxPerCore";
    int64_t max = wanted_max(c, cpus);
    if (max <= 0)
        return 0;
    AUTO_CHARS char *path = xasprintf("%s" SYSCTLS "nf_conntrack_max", root);
    AUTO_CHARS char *hash = xasprintf("%s" HASHSIZE, root);
    if (set(c, field, path, max, true) < 0)
        return 1;
    if (!is_writable(path))
        return 0;
    return set(c, field, hash, max / 4, true) < 0;
}

unsigned conntrack_settings_apply(const struct proxy_config *c, const char *root, unsigned cpus)
{
    static const struct {
        const char *field, *sysctl;
    } times[] = {{"conntrack.tcpEstablishedTimeout", "nf_conntrack_tcp_timeout_established"},
                 {"conntrack.tcpCloseWaitTimeout", "nf_conntrack_tcp_timeout_close_wait"},
                 {"conntrack.udpTimeout", "nf_conntrack_udp_timeout"},
                 {"conntrack.udpStreamTimeout", "nf_conntrack_udp_timeout_stream"}};
    unsigned failed = set_max(c, root, cpus);
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        int64_t seconds = (int64_t)(proxy_config_ms(c, times[i].field) / 1000);
        AUTO_CHARS char *path = xasprintf("%s" SYSCTLS "%s", root, times[i].sysctl);
        if (proxy_config_ms(c, times[i].field) > 0)
            failed += set(c, times[i].field, path, seconds, false) < 0;
    }
    AUTO_CHARS char *path = xasprintf("%s" SYSCTLS "nf_conntrack_tcp_be_liberal", root);
    if (proxy_config_bool(c, "conntrack.tcpBeLiberal"))
        failed += set(c, "conntrack.tcpBeLiberal", path, 1, false) < 0;
    return failed;
}
