/* What kube-proxy makes of fields that are not set once mode and addresses are known, and what it
 * refuses: the same rules, told by the field's path. Pure. */
#include "agent/proxy_config.h"

#include <errno.h>
#include <stdio.h>

#include "base/addr.h"

enum { HEALTHZ_PORT = 10256, METRICS_PORT = 10249 };

static void wrong(struct proxy_config *c, const char *path, const char *ought)
{
    AUTO_DONE(buf) struct buf b = {0};
    const json_t *v = json_at(c->tree, path);
    if (v)
        json_write(&b, v);
    proxy_config_note(c, PROXY_NOTE_ERROR, path, "%.200s: %s", v ? buf_cstr(&b) : "null", ought);
}

/* ---- what is not set ---- */

static bool is_v6(const char *text)
{
    struct ip ip;
    return ip_parse(str_from(text), &ip) == 0 && ip.family == AF_INET6;
}

static bool has_port(const char *address)
{
    struct ip ip;
    return strchr(address, ':') && ip_parse(str_from(address), &ip) < 0;
}

static void complete_address(struct proxy_config *c, const char *path, const char *v4,
                             const char *v6, unsigned port)
{
    const char *given = proxy_config_text(c, path);
    bool wide = is_v6(proxy_config_text(c, "bindAddress"));
    const char *host = *given ? given : wide ? v6 : v4;
    bool brackets = is_v6(host) && *host != '[';
    if (*given && has_port(given))
        return;
    AUTO_CHARS char *text =
        xasprintf("%s%s%s:%u", brackets ? "[" : "", host, brackets ? "]" : "", port);
    json_put_str(c->tree, path, text);
}

void proxy_config_complete(struct proxy_config *c)
{
    complete_address(c, "healthzBindAddress", "0.0.0.0", "::", HEALTHZ_PORT);
    complete_address(c, "metricsBindAddress", "127.0.0.1", "::1", METRICS_PORT);
    if (!*proxy_config_text(c, "mode"))
        json_put_str(c->tree, "mode", "iptables");
    if (!*proxy_config_text(c, "detectLocalMode"))
        json_put_str(c->tree, "detectLocalMode", "ClusterCIDR");
    if (streq(proxy_config_text(c, "mode"), "nftables") &&
        json_array_size(json_at(c->tree, "nodePortAddresses")) == 0 && c->from_file)
        json_put(c->tree, "nodePortAddresses", json_pack("[s]", "primary"));
}

/* ---- rules ---- */

static void check_range(struct proxy_config *c, const char *path, int64_t min, int64_t max)
{
    int64_t v = proxy_config_count(c, path);
    char ought[80];
    if (v >= min && v <= max)
        return;
    if (max == INT32_MAX)
        snprintf(ought, sizeof(ought), "must be greater than or equal to %lld", (long long)min);
    else
        snprintf(ought, sizeof(ought), "must be within the range [%lld, %lld]", (long long)min,
                 (long long)max);
    wrong(c, path, ought);
}

/* A duration at least 0, or more than it. */
static void check_time(struct proxy_config *c, const char *path, bool positive)
{
    if (proxy_config_text(c, path)[0] == '-' || (positive && proxy_config_ms(c, path) == 0))
        wrong(c, path, positive ? "must be greater than 0" : "must be greater than or equal to 0");
}

static void check_one_of(struct proxy_config *c, const char *path, const char *const *words,
                         size_t n, const char *ought)
{
    for (size_t i = 0; i < n; i++)
        if (streq(proxy_config_text(c, path), words[i]))
            return;
    wrong(c, path, ought);
}

static void check_listener(struct proxy_config *c, const char *path)
{
    uint16_t port;
    struct ip ip;
    if (ip_port_parse(str_from(proxy_config_text(c, path)), &ip, &port) < 0 || port == 0)
        wrong(c, path, "must be IP:port");
}

static void check_syncs(struct proxy_config *c)
{
    const char *section = proxy_config_section(c);
    char sync[40], min[40];
    snprintf(sync, sizeof(sync), "%s.syncPeriod", section);
    snprintf(min, sizeof(min), "%s.minSyncPeriod", section);
    check_time(c, sync, true);
    check_time(c, min, false);
    if (proxy_config_ms(c, min) > proxy_config_ms(c, sync))
        wrong(c, sync, "must be greater than or equal to minSyncPeriod");
}

static void check_node_ports(struct proxy_config *c)
{
    static const char *const words[] = {"primary", "localhost", "all"};
    json_t *list = json_at(c->tree, "nodePortAddresses"), *one;
    unsigned seen[ARRAY_LEN(words)] = {0};
    size_t i;
    json_array_foreach(list, i, one)
    {
        const char *text = json_string_value(one);
        struct prefix p;
        size_t w = 0;
        while (w < ARRAY_LEN(words) && !streq(text, words[w]))
            w++;
        AUTO_CHARS char *path = xasprintf("nodePortAddresses[%zu]", i);
        if (w < ARRAY_LEN(words) && seen[w]++)
            proxy_config_note(c, PROXY_NOTE_ERROR, path, "\"%s\" stands twice", words[w]);
        if (w == ARRAY_LEN(words) && (!strchr(text, '/') || prefix_parse(str_from(text), &p) < 0))
            proxy_config_note(c, PROXY_NOTE_ERROR, path,
                              "\"%.80s\" must be a valid CIDR or one of the keywords 'primary', "
                              "'localhost', 'all'",
                              text);
    }
}

static void check_cluster_cidr(struct proxy_config *c)
{
    struct str rest = str_from(proxy_config_text(c, "clusterCIDR"));
    size_t n = 0, v6 = 0;
    while (rest.p && rest.n) {
        struct str one = str_cut(rest, ',', &rest);
        struct prefix p;
        if (prefix_parse(one, &p) < 0) {
            wrong(c, "clusterCIDR",
                  "must be a valid CIDR block (e.g. 10.100.0.0/16 or fde4:8dba:82e1::/48)");
            return;
        }
        n++;
        v6 += p.ip.family == AF_INET6;
    }
    if (n > 2 || (n == 2 && v6 != 1))
        wrong(c, "clusterCIDR", "must be either a single CIDR or a dual-stack pair of CIDRs");
}

static void check_detector(struct proxy_config *c)
{
    static const char *const modes[] = {"ClusterCIDR", "NodeCIDR", "BridgeInterface",
                                        "InterfaceNamePrefix"};
    const char *mode = proxy_config_text(c, "detectLocalMode");
    check_one_of(c, "detectLocalMode", modes, ARRAY_LEN(modes),
                 "must be ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix");
    if (streq(mode, "BridgeInterface") && !*proxy_config_text(c, "detectLocal.bridgeInterface"))
        wrong(c, "detectLocal.bridgeInterface", "must not be empty with this detectLocalMode");
    if (streq(mode, "InterfaceNamePrefix") &&
        !*proxy_config_text(c, "detectLocal.interfaceNamePrefix"))
        wrong(c, "detectLocal.interfaceNamePrefix", "must not be empty with this detectLocalMode");
    if (streq(mode, "ClusterCIDR"))
        check_cluster_cidr(c);
}

static void check_ipvs(struct proxy_config *c)
{
    json_t *one;
    size_t i;
    check_time(c, "ipvs.tcpTimeout", false);
    check_time(c, "ipvs.tcpFinTimeout", false);
    check_time(c, "ipvs.udpTimeout", false);
    json_array_foreach(json_at(c->tree, "ipvs.excludeCIDRs"), i, one)
    {
        struct prefix p;
        if (prefix_parse(str_from(json_string_value(one)), &p) < 0)
            wrong(c, "ipvs.excludeCIDRs", "must be valid CIDRs");
    }
}

int proxy_config_check(struct proxy_config *c)
{
    static const char *const modes[] = {"iptables", "ipvs", "nftables"};
    static const char *const formats[] = {"text", "json"};
    struct ip ip;
    proxy_config_complete(c);
    check_one_of(c, "mode", modes, ARRAY_LEN(modes), "must be iptables, ipvs, nftables or blank");
    check_one_of(c, "logging.format", formats, ARRAY_LEN(formats), "must be text or json");
    check_range(c, "iptables.masqueradeBit", 0, 31);
    if (streq(proxy_config_section(c), "nftables"))
        check_range(c, "nftables.masqueradeBit", 0, 31);
    if (streq(proxy_config_section(c), "ipvs"))
        check_ipvs(c);
    check_range(c, "conntrack.maxPerCore", 0, INT32_MAX);
    check_range(c, "conntrack.min", 0, INT32_MAX);
    check_time(c, "conntrack.tcpEstablishedTimeout", false);
    check_time(c, "conntrack.tcpCloseWaitTimeout", false);
    check_time(c, "conntrack.udpTimeout", false);
    check_time(c, "conntrack.udpStreamTimeout", false);
    check_range(c, "oomScoreAdj", -1000, 1000);
    check_range(c, "clientConnection.burst", 0, INT32_MAX);
    check_time(c, "configSyncPeriod", true);
    check_syncs(c);
    if (ip_parse(str_from(proxy_config_text(c, "bindAddress")), &ip) < 0)
        wrong(c, "bindAddress", "not a valid textual representation of an IP address");
    check_listener(c, "healthzBindAddress");
    check_listener(c, "metricsBindAddress");
    check_node_ports(c);
    check_detector(c);
    return proxy_config_has_errors(c) ? -EINVAL : 0;
}
