/* Flags and kube-proxy's file become one configuration. Precedence is kube-proxy's: with a file,
 * its own flags are not heeded but for the name of the node and what concerns logs; flags that
 * kube-proxy does not have hold always. Says on stderr or in the log what is wrong or without
 * effect. */
#include "agent/settings.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/program.h"

/* ---- flags ---- */

/* Row 14, with kube-proxy's words. Says what is wrong and returns false. */
static bool detector_is_valid(const struct settings *s)
{
    static const struct {
        const char *mode, *flag;
    } modes[] = {{"ClusterCIDR", "--cluster-cidr"},
                 {"NodeCIDR", NULL},
                 {"BridgeInterface", "--pod-bridge-interface"},
                 {"InterfaceNamePrefix", "--pod-interface-name-prefix"}};
    const char *const given[] = {s->cluster_cidr, NULL, s->pod_bridge, s->pod_prefix};
    if (str_empty(s->detect_local))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (streq(s->detect_local, modes[i].mode)) {
            if (!modes[i].flag || !str_empty(given[i]))
                return true;
            program_fail(EXIT_USAGE_ERROR, NULL, "--detect-local-mode=%s needs %s", modes[i].mode,
                         modes[i].flag);
            return false;
        }
    program_fail(EXIT_USAGE_ERROR, "ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix",
                 "--detect-local-mode: \"%s\" is not known", s->detect_local);
    return false;
}

static void put_text(struct settings *s, const char *path, const char *text)
{
    if (!str_empty(text))
        json_put_str(s->config.tree, path, text);
}

static void put_list(struct settings *s, const char *path, const char *text)
{
    struct str rest = str_from(text);
    json_t *list = json_array();
    while (rest.p && rest.n)
        json_array_append_new(list, json_text(str_trim(str_cut(rest, ',', &rest))));
    if (json_array_size(list))
        json_put(s->config.tree, path, list);
    else
        json_decref(list);
}

/* "Name=true,…" */
static bool put_gates(struct settings *s)
{
    struct str rest = str_from(s->feature_gates);
    json_t *gates = json_at(s->config.tree, "featureGates");
    while (rest.p && rest.n) {
        struct str value, one = str_trim(str_cut(rest, ',', &rest)),
                          name = str_cut(one, '=', &value);
        bool on = str_is(value, "true");
        if (!name.n || (!on && !str_is(value, "false"))) {
            program_fail(EXIT_USAGE_ERROR, "give NAME=true or NAME=false",
                         "--feature-gates: \"" STR_FMT "\"", STR_ARG(one));
            return false;
        }
        AUTO_CHARS char *text = str_dup(name);
        json_object_set_new(gates, text, json_boolean(on));
    }
    return true;
}

/* Those that were given: what is not has kube-proxy's default. */
static void put_conntrack(struct settings *s)
{
    const struct {
        const char *flag, *path;
        enum arg_type type;
        const void *value;
    } flags[] = {
        {"conntrack-max-per-core", "conntrack.maxPerCore", ARG_INT, &s->conntrack_max_per_core},
        {"conntrack-min", "conntrack.min", ARG_INT, &s->conntrack_min},
        {"conntrack-tcp-timeout-established", "conntrack.tcpEstablishedTimeout", ARG_DURATION,
         &s->conntrack_tcp_established_ms},
        {"conntrack-tcp-timeout-close-wait", "conntrack.tcpCloseWaitTimeout", ARG_DURATION,
         &s->conntrack_tcp_close_wait_ms},
        {"conntrack-udp-timeout", "conntrack.udpTimeout", ARG_DURATION, &s->conntrack_udp_ms},
        {"conntrack-udp-timeout-stream", "conntrack.udpStreamTimeout", ARG_DURATION,
         &s->conntrack_udp_stream_ms},
        {"conntrack-tcp-be-liberal", "conntrack.tcpBeLiberal", ARG_BOOL,
         &s->conntrack_tcp_be_liberal}};
    for (const struct arg *a = s->args; a && a->name; a++)
        for (size_t i = 0; a->set && i < ARRAY_LEN(flags); i++) {
            if (!streq(a->name, flags[i].flag))
                continue;
            json_t *v;
            if (flags[i].type == ARG_DURATION) {
                AUTO_CHARS char *text =
                    xasprintf("%llums", (unsigned long long)*(const uint64_t *)flags[i].value);
                v = json_string(text);
            } else {
                v = flags[i].type == ARG_INT ? json_integer(*(const int64_t *)flags[i].value)
                                             : json_boolean(*(const bool *)flags[i].value);
            }
            json_put(s->config.given, flags[i].path, json_incref(v));
            json_put(s->config.tree, flags[i].path, v);
        }
}

static void put_flags(struct settings *s)
{
    put_conntrack(s);
    put_text(s, "clientConnection.kubeconfig", s->kubeconfig);
    put_text(s, "hostnameOverride", s->node_name);
    put_text(s, "clusterCIDR", s->cluster_cidr);
    put_text(s, "detectLocalMode", s->detect_local);
    put_text(s, "detectLocal.bridgeInterface", s->pod_bridge);
    put_text(s, "detectLocal.interfaceNamePrefix", s->pod_prefix);
    put_text(s, "healthzBindAddress", s->healthz);
    put_text(s, "metricsBindAddress", s->metrics);
    put_list(s, "nodePortAddresses", s->node_port_addresses);
    json_put(s->config.tree, "nftables.masqueradeAll", json_boolean(s->masquerade_all));
    json_put(s->config.tree, "bindAddressHardFail", json_boolean(s->bind_hard_fail));
}

/* ---- the file ---- */

/* Flags of kube-proxy's that a file overrules. */
static void tell_ignored(const struct settings *s)
{
    static const char *const names[] = {"kubeconfig",
                                        "cluster-cidr",
                                        "detect-local-mode",
                                        "pod-bridge-interface",
                                        "pod-interface-name-prefix",
                                        "nodeport-addresses",
                                        "masquerade-all",
                                        "healthz-bind-address",
                                        "metrics-bind-address",
                                        "bind-address-hard-fail",
                                        "feature-gates"};
    for (const struct arg *a = s->args; a && a->name; a++)
        for (size_t i = 0; a->set && i < ARRAY_LEN(names); i++)
            if (streq(a->name, names[i]) ||
                (i == 0 && str_starts(str_from(a->name), STR("conntrack-"))))
                log_warn("a flag is not heeded, since --config is given", kv_s("flag", a->name));
}

static int read_file(const char *path, struct buf *ret, struct err *reterr)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(reterr, -errno, NULL, "%s", strerror(errno));
    char piece[8192];
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0 && ret->n <= PROXY_CONFIG_BYTES_MAX)
        buf_add(ret, piece, n);
    bool failed = ferror(f);
    fclose(f);
    return failed ? err_set(reterr, -EIO, NULL, "cannot be read") : 0;
}

static void print_notes(const struct settings *s)
{
    static const char *const words[] = {
        [PROXY_NOTE_ERROR] = "error", [PROXY_NOTE_WARNING] = "warning", [PROXY_NOTE_TOLD] = "note"};
    VEC_FOREACH (n, &s->config.notes)
        fprintf(stderr, "%s: %s: %s: %s\n", words[n->kind], s->config_file, n->path, n->text);
}

static void log_notes(const struct settings *s)
{
    VEC_FOREACH (n, &s->config.notes)
        if (n->kind == PROXY_NOTE_WARNING)
            log_warn("lenient reading of the configuration: a field is not known",
                     kv_s("field", n->path));
        else if (n->kind == PROXY_NOTE_TOLD)
            log_info("a field of the configuration", kv_s("field", n->path), kv_s("is", n->text));
}

/* Tells what is wrong; the exit code, or 0. */
static int load(struct settings *s)
{
    AUTO_DONE(buf) struct buf text = {0};
    struct err err = {0};
    proxy_config_init(&s->config, "");
    int r = read_file(s->config_file, &text, &err);
    if (r == 0)
        r = proxy_config_read(&s->config, buf_str(&text), &err);
    if (r == 0)
        r = proxy_config_check(&s->config);
    if (r < 0 && proxy_config_has_errors(&s->config))
        print_notes(s);
    else if (r < 0)
        program_fail(EXIT_USAGE_ERROR,
                     "a KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1", "%s: %s",
                     s->config_file, err_text(&err));
    return r < 0 ? EXIT_USAGE_ERROR : 0;
}

int settings_validate(struct settings *s)
{
    if (str_empty(s->config_file))
        return program_fail(EXIT_USAGE_ERROR, NULL, "--validate needs --config FILE");
    int code = load(s);
    if (code == 0) {
        print_notes(s);
        printf("configuration '%s' OK\n", s->config_file);
    }
    return code;
}

static void apply_logging(const struct settings *s)
{
    const struct proxy_config *c = &s->config;
    if (!s->log_level_given && proxy_config_count(c, "logging.verbosity") >= 4)
        log_set_level(LOG_LEVEL_DEBUG);
    if (!s->log_format_given && streq(proxy_config_text(c, "logging.format"), "json"))
        log_setup("fairlead-agent", log_level(), LOG_FORMAT_JSON);
}

/* ---- what comes of it ---- */

bool settings_detect_by(const struct settings *s, const char *mode)
{
    return streq(proxy_config_text(&s->config, "detectLocalMode"), mode);
}

static bool parse_cluster(struct settings *s)
{
    struct str rest = str_from(proxy_config_text(&s->config, "clusterCIDR"));
    while (rest.p && rest.n) {
        struct prefix p;
        struct str one = str_trim(str_cut(rest, ',', &rest));
        if (prefix_parse(one, &p) < 0) {
            program_fail(EXIT_USAGE_ERROR, "give prefixes such as 10.244.0.0/16,fd00::/56",
                         "--cluster-cidr: \"" STR_FMT "\" is not a prefix", STR_ARG(one));
            return false;
        }
        vec_push(&s->cluster, p);
    }
    return true;
}

static const char *const LOCALHOST[2] = {"127.0.0.0/8", "::1/128"};
static const char *const EVERYWHERE[2] = {"0.0.0.0/0", "::/0"};

static void add_prefix(struct prefix_list *list, const char *text)
{
    struct prefix p;
    int r = prefix_parse(str_from(text), &p);
    ASSERT(r == 0);
    vec_push(list, p);
}

static bool parse_node_ports(struct settings *s)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_at(s->config.tree, "nodePortAddresses"), i, one)
    {
        const char *text = json_string_value(one);
        struct prefix p;
        if (streq(text, "primary")) {
            s->primary = true;
        } else if (streq(text, "localhost") || streq(text, "all")) {
            for (int f = 0; f < 2; f++)
                add_prefix(&s->node_ports, (streq(text, "all") ? EVERYWHERE : LOCALHOST)[f]);
        } else if (prefix_parse(str_from(text), &p) == 0) {
            vec_push(&s->node_ports, p);
        } else {
            program_fail(EXIT_USAGE_ERROR,
                         "give prefixes such as 10.0.0.0/8,fd00::/56, primary, localhost or all",
                         "--nodeport-addresses: \"%.80s\" is not a prefix", text);
            return false;
        }
    }
    return true;
}

/* kube-proxy's nftables mode asks for the gate and for loopback in so many words; in its other
 * modes a word of its own (whose default is true there, and of no effect here) is for IPv4 alone.
 */
static void take_localhost(struct settings *s)
{
    bool other = !streq(proxy_config_section(&s->config), "nftables") &&
                 proxy_config_has(&s->config, "iptables.localhostNodePorts") &&
                 proxy_config_bool(&s->config, "iptables.localhostNodePorts");
    bool v4 = false, none_of_v4 = true;
    s->localhost = streq(proxy_config_section(&s->config), "nftables") &&
                   proxy_config_gate(&s->config, "KubeProxyNFTablesLocalhostNodePorts", false);
    VEC_FOREACH (p, &s->node_ports) {
        bool v6 = p->ip.family == AF_INET6;
        if (ip_is_loopback(&p->ip) && s->localhost)
            s->relay[v6] = true;
        v4 = v4 || (!v6 && (p->len == 0 || ip_is_loopback(&p->ip)));
        none_of_v4 = none_of_v4 && v6;
    }
    if (other && (v4 || (none_of_v4 && !s->primary)))
        s->localhost = s->relay[0] = true;
}

bool settings_complete_node_ports(struct prefix_list *list)
{
    bool asked = true;
    unsigned everywhere = 0;
    size_t named = list->n;
    for (unsigned f = 0; f < 2 && named; f++) {
        int family = f ? AF_INET6 : AF_INET;
        size_t n = 0;
        bool all = false;
        for (size_t i = 0; i < list->n; i++) {
            n += list->v[i].ip.family == family;
            all = all || (list->v[i].ip.family == family && list->v[i].len == 0);
        }
        asked = asked && n > 0;
        everywhere += all || n == 0;
        if (!all && n)
            continue;
        size_t kept = 0;
        for (size_t i = 0; i < list->n; i++)
            if (list->v[i].ip.family != family)
                list->v[kept++] = list->v[i];
        list->n = kept;
        add_prefix(list, EVERYWHERE[f]);
    }
    if (everywhere == 2)
        list->n = 0;
    return asked;
}

/* As kube-proxy's GetHostname. */
static bool take_name(struct settings *s)
{
    char host[256] = "";
    const char *given =
        !str_empty(s->node_name) ? s->node_name : proxy_config_text(&s->config, "hostnameOverride");
    if (!*given && gethostname(host, sizeof(host) - 1) < 0)
        host[0] = 0;
    struct str name = str_trim(str_from(*given ? given : host));
    if (!name.n) {
        program_fail(EXIT_USAGE_ERROR, "give --node-name", "the name of the node is empty");
        return false;
    }
    s->name = str_dup(name);
    for (char *p = s->name; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + ('a' - 'A'));
    return true;
}

static void take_values(struct settings *s)
{
    const struct proxy_config *c = &s->config;
    const char *section = proxy_config_section(c);
    char path[48];
    struct ip ip;
    /* ipvs has no bit of its own */
    snprintf(path, sizeof(path), "%s.masqueradeBit",
             streq(section, "nftables") ? section : "iptables");
    s->masquerade_mark = 1u << proxy_config_count(c, path);
    snprintf(path, sizeof(path), "%s.masqueradeAll",
             streq(section, "nftables") ? section : "iptables");
    s->masquerade_all = proxy_config_bool(c, path);
    snprintf(path, sizeof(path), "%s.syncPeriod", section);
    s->unhealthy_after_ms = 2 * proxy_config_ms(c, path);
    s->bind_hard_fail = proxy_config_bool(c, "bindAddressHardFail");
    if (ip_parse(str_from(proxy_config_text(c, "bindAddress")), &ip) == 0 && !ip_is_any(&ip))
        s->bind_ip = ip;
    if (str_empty(s->config_file))
        return;
    s->healthz = proxy_config_text(c, "healthzBindAddress");
    s->metrics = proxy_config_text(c, "metricsBindAddress");
    s->kubeconfig = proxy_config_text(c, "clientConnection.kubeconfig");
    s->pod_bridge = proxy_config_text(c, "detectLocal.bridgeInterface");
    s->pod_prefix = proxy_config_text(c, "detectLocal.interfaceNamePrefix");
}

int settings_resolve(struct settings *s)
{
    if (!str_empty(s->config_file)) {
        int code = load(s);
        if (code)
            return code;
        apply_logging(s);
        tell_ignored(s);
        log_notes(s);
    } else {
        if (!detector_is_valid(s))
            return EXIT_USAGE_ERROR;
        proxy_config_init(&s->config, "nftables");
        put_flags(s);
        if (!put_gates(s))
            return EXIT_USAGE_ERROR;
        proxy_config_complete(&s->config);
    }
    if (!parse_cluster(s) || !parse_node_ports(s) || !take_name(s))
        return EXIT_USAGE_ERROR;
    take_localhost(s);
    json_put_str(s->config.tree, "hostnameOverride", s->name);
    take_values(s);
    return 0;
}

void settings_done(struct settings *s)
{
    proxy_config_done(&s->config);
    vec_done(&s->cluster);
    vec_done(&s->node_ports);
    free(s->name);
}
