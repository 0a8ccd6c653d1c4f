/* kube-proxy's configuration file as kube-proxy reads it: defaults, zeros, modes, what is refused
 * and what is told. */
#include <errno.h>
#include <stdio.h>

#include "agent/proxy_config.h"
#include "agent/settings.h"
#include "test.h"

#define HEAD "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

static int read_text(struct proxy_config *c, const char *text)
{
    struct err err = {0};
    proxy_config_init(c, "");
    int r = proxy_config_read(c, str_from(text), &err);
    return r < 0 ? r : proxy_config_check(c);
}

/* All notes, a line each. */
static const char *notes(const struct proxy_config *c, char ret[2048])
{
    size_t n = 0;
    ret[0] = 0;
    VEC_FOREACH (note, &c->notes)
        n += (size_t)snprintf(ret + n, 2048 - n, "%c %s: %s\n", "EWT"[note->kind], note -> path,
                              note -> text);
    return ret;
}

static void file_text(const char *path, struct buf *ret)
{
    char piece[4096];
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    for (size_t n; (n = fread(piece, 1, sizeof(piece), f)) > 0;)
        buf_add(ret, piece, n);
    fclose(f);
}

static void test_the_file_of_kubeadm(void **state)
{
    struct proxy_config c;
    AUTO_DONE(buf) struct buf text = {0};
    char told[2048];
    (void)state;
    file_text("tests/fuzz/corpus/proxy_config/kubeadm.yaml", &text);
    assert_ok(read_text(&c, buf_cstr(&text)));
    assert_string_equal(notes(&c, told), "");
    static const char *const texts[][2] = {
        {"mode", "iptables"},
        {"healthzBindAddress", "0.0.0.0:10256"},
        {"metricsBindAddress", "127.0.0.1:10249"},
        {"detectLocalMode", "ClusterCIDR"},
        {"clusterCIDR", "10.244.0.0/16,fd00:10:244::/56"},
        {"clientConnection.kubeconfig", "/var/lib/kube-proxy/kubeconfig.conf"},
        {"clientConnection.contentType", "application/vnd.kubernetes.protobuf"},
        {"conntrack.tcpEstablishedTimeout", "24h0m0s"},
        {"configSyncPeriod", "15m0s"},
        {"iptables.syncPeriod", "30s"}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_string_equal(proxy_config_text(&c, texts[i][0]), texts[i][1]);
    assert_int_equal(proxy_config_count(&c, "iptables.masqueradeBit"), 14);
    assert_int_equal(proxy_config_count(&c, "oomScoreAdj"), -999);
    assert_int_equal(proxy_config_count(&c, "conntrack.maxPerCore"), 32768);
    assert_int_equal(proxy_config_ms(&c, "conntrack.tcpCloseWaitTimeout"), 3600 * 1000);
    assert_int_equal(proxy_config_ms(&c, "conntrack.udpTimeout"), 0);
    assert_true(json_is_null(json_object_get(c.tree, "nodePortAddresses")));
    proxy_config_done(&c);
}

/* Only where kube-proxy has a pointer is a zero a value. */
static void test_zeros(void **state)
{
    struct proxy_config c;
    (void)state;
    assert_ok(read_text(&c, HEAD "conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s}\n"
                                 "nftables: {masqueradeBit: 0}\nmode: nftables\noomScoreAdj: 0\n"
                                 "configSyncPeriod: 0s\nclientConnection: {qps: 0.0, burst: 0}\n"));
    assert_int_equal(proxy_config_count(&c, "conntrack.maxPerCore"), 0);
    assert_int_equal(proxy_config_ms(&c, "conntrack.tcpEstablishedTimeout"), 0);
    assert_int_equal(proxy_config_count(&c, "nftables.masqueradeBit"), 0);
    assert_int_equal(proxy_config_count(&c, "oomScoreAdj"), 0);
    assert_int_equal(proxy_config_count(&c, "clientConnection.burst"), 10);
    assert_int_equal(proxy_config_ms(&c, "configSyncPeriod"), 15 * 60 * 1000);
    assert_string_equal(proxy_config_section(&c), "nftables");
    assert_string_equal(json_string_value(json_array_get(json_at(c.tree, "nodePortAddresses"), 0)),
                        "primary");
    proxy_config_done(&c);
}

static void test_addresses_follow_the_family(void **state)
{
    static const struct {
        const char *yaml, *healthz, *metrics;
    } cases[] = {{"bindAddress: fd00::1\n", "[::]:10256", "[::1]:10249"},
                 {"healthzBindAddress: 10.0.0.1\nmetricsBindAddress: \"::\"\n", "10.0.0.1:10256",
                  "[::]:10249"},
                 {"healthzBindAddress: 127.0.0.1:1\nmetricsBindAddress: \"[fd00::1]:2\"\n",
                  "127.0.0.1:1", "[fd00::1]:2"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct proxy_config c;
        AUTO_CHARS char *text = xasprintf(HEAD "%s", cases[i].yaml);
        assert_ok(read_text(&c, text));
        assert_string_equal(proxy_config_text(&c, "healthzBindAddress"), cases[i].healthz);
        assert_string_equal(proxy_config_text(&c, "metricsBindAddress"), cases[i].metrics);
        proxy_config_done(&c);
    }
}

/* Unknown fields are passed over, as by kube-proxy; what has no effect is told once. */
static void test_what_is_passed_over_and_told(void **state)
{
    struct proxy_config c;
    char told[2048];
    (void)state;
    assert_ok(read_text(
        &c,
        HEAD "fancy: 1\nconntrack: {max: 5, tcpBeLiberal: true}\nipvs: {scheduler: wrr, "
             "strictARP: true}\nfeatureGates: {Foo: true, MultiCIDRServiceAllocator: false}\n"
             "winkernel: {networkName: x}\nportRange: \"1-2\"\nminSyncPeriod: 3s\n"
             "nftables: {minSyncPeriod: 5s}\nclientConnection: {contentType: application/json}\n"
             "Mode: nftables\n"));
    assert_string_equal(
        notes(&c, told),
        "W fancy: unknown field\nW conntrack.max: unknown field\nW minSyncPeriod: unknown field\n"
        "W Mode: unknown field\n"
        "T clientConnection.contentType: no effect: JSON is spoken\n"
        "T ipvs.scheduler: of mode ipvs: endpoints are chosen at random\n"
        "T ipvs.strictARP: of mode ipvs: no address is put on an interface\n"
        "T nftables.minSyncPeriod: no effect: changes go at once, and together while one is under "
        "way\n"
        "T winkernel.networkName: of Windows\nT portRange: no effect: unused by kube-proxy, too\n"
        "T featureGates.Foo: no effect\n");
    assert_true(proxy_config_bool(&c, "conntrack.tcpBeLiberal"));
    assert_false(proxy_config_gate(&c, "MultiCIDRServiceAllocator", true));
    assert_true(proxy_config_gate(&c, "Other", true));
    assert_string_equal(proxy_config_text(&c, "mode"), "iptables");
    proxy_config_done(&c);
}

static void test_what_is_refused(void **state)
{
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        {"conntrack: {min: lots}", "E conntrack.min: \"lots\" is not a whole number of 32 bits\n"},
        {"conntrack: {min: 4294967296}", "E conntrack.min: 4294967296 is not a whole number of 32"},
        {"conntrack: {min: -1}", "E conntrack.min: -1: must be greater than or equal to 0\n"},
        {"conntrack: 5", "E conntrack: is not an object\n"},
        {"conntrack: {udpTimeout: -5s}",
         "E conntrack.udpTimeout: \"-5s\": must be greater than or"},
        {"conntrack: {udpTimeout: 5}", "E conntrack.udpTimeout: 5 is not a duration such as"},
        {"iptables: {masqueradeBit: 32}",
         "E iptables.masqueradeBit: 32: must be within the range [0, 31]\n"},
        {"mode: nftables\nnftables: {masqueradeBit: 32}", "E nftables.masqueradeBit: 32: must be"},
        {"mode: userspace", "E mode: \"userspace\": must be iptables, ipvs, nftables or blank\n"},
        {"mode: kernelspace", "E mode: "},
        {"oomScoreAdj: -1001", "E oomScoreAdj: -1001: must be within the range [-1000, 1000]\n"},
        {"detectLocalMode: Magic", "E detectLocalMode: \"Magic\": must be ClusterCIDR, NodeCIDR"},
        {"detectLocalMode: BridgeInterface", "E detectLocal.bridgeInterface: \"\": must not be"},
        {"detectLocalMode: InterfaceNamePrefix", "E detectLocal.interfaceNamePrefix: \"\""},
        {"clusterCIDR: 10.0.0.0/8,11.0.0.0/8", "E clusterCIDR: \"10.0.0.0/8,11.0.0.0/8\": must be"},
        {"clusterCIDR: 10.0.0.0", "E clusterCIDR: \"10.0.0.0\": must be a valid CIDR block"},
        {"nodePortAddresses: [primary, 10.0.0.0/8, primary]",
         "E nodePortAddresses[2]: \"primary\" stands twice\n"},
        {"nodePortAddresses: [here]", "E nodePortAddresses[0]: \"here\" must be a valid CIDR or"},
        {"nodePortAddresses: 10.0.0.0/8", "E nodePortAddresses: \"10.0.0.0/8\" is not a list of"},
        {"bindAddress: here", "E bindAddress: \"here\": not a valid textual representation"},
        {"healthzBindAddress: 10.0.0.1:0", "E healthzBindAddress: \"10.0.0.1:0\": must be IP:port"},
        {"metricsBindAddress: localhost:1", "E metricsBindAddress: \"localhost:1\": must be IP"},
        {"iptables: {syncPeriod: 1s, minSyncPeriod: 2s}",
         "E iptables.syncPeriod: \"1s\": must be greater than or equal to minSyncPeriod\n"},
        {"mode: ipvs\nipvs: {excludeCIDRs: [x]}", "E ipvs.excludeCIDRs: "},
        {"logging: {format: xml}", "E logging.format: \"xml\": must be text or json\n"},
        {"featureGates: {A: yes please}", "E featureGates: "},
        {"enableProfiling: 1", "E enableProfiling: 1 is not true or false\n"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct proxy_config c;
        char told[2048];
        AUTO_CHARS char *text = xasprintf(HEAD "%s\n", cases[i].yaml);
        if (read_text(&c, text) != -EINVAL)
            fail_msg("taken: %s", cases[i].yaml);
        if (!strstr(notes(&c, told), cases[i].says))
            fail_msg("%s: %s", cases[i].yaml, told);
        proxy_config_done(&c);
    }
}

static void test_what_is_no_such_file(void **state)
{
    static const char *const texts[][2] = {
        {"", "not an object"},
        {"[]", "not an object"},
        {"kind: KubeProxyConfiguration\n", "apiVersion: missing"},
        {"apiVersion: kubeproxy.config.k8s.io/v1alpha1\n", "kind: missing"},
        {"apiVersion: kubeproxy.config.k8s.io/v1alpha2\nkind: KubeProxyConfiguration\n",
         "no kind \"KubeProxyConfiguration\" is known for version "
         "\"kubeproxy.config.k8s.io/v1alpha2\""},
        {"apiVersion: v1\nkind: ConfigMap\n", "no kind \"ConfigMap\""},
        {"a: [", "line"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct proxy_config c;
        struct err err = {0};
        proxy_config_init(&c, "");
        assert_true(proxy_config_read(&c, str_from(texts[i][0]), &err) < 0);
        if (!strstr(err_text(&err), texts[i][1]))
            fail_msg("%s: %s", texts[i][0], err_text(&err));
        assert_false(proxy_config_has_errors(&c));
        proxy_config_done(&c);
    }
}

/* Row 16: what kube-proxy makes of a list. */
static void test_row_16_node_port_lists(void **state)
{
    static const struct {
        const char *list, *becomes;
        bool asked;
    } cases[] = {{"", "", true},
                 {"10.0.0.0/8,fd00::/8", "10.0.0.0/8 fd00::/8 ", true},
                 {"10.0.0.0/8", "10.0.0.0/8 ::/0 ", false},
                 {"fd00::/8,fd01::/16", "fd00::/8 fd01::/16 0.0.0.0/0 ", false},
                 {"10.0.0.0/8,0.0.0.0/0,11.0.0.0/8,fd00::/8", "fd00::/8 0.0.0.0/0 ", true},
                 {"all", "", true},
                 {"localhost", "127.0.0.0/8 ::1/128 ", true},
                 {"localhost,all", "", true},
                 {"localhost,10.0.0.0/8", "127.0.0.0/8 ::1/128 10.0.0.0/8 ", true}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct settings s = {.node_name = "n1", .node_port_addresses = cases[i].list};
        char got[256] = "", text[PREFIX_TEXT_BYTES];
        assert_int_equal(settings_resolve(&s), 0);
        assert_int_equal(settings_complete_node_ports(&s.node_ports), cases[i].asked);
        VEC_FOREACH (p, &s.node_ports) {
            strcat(got, prefix_format(p, text));
            strcat(got, " ");
        }
        assert_string_equal(got, cases[i].becomes);
        settings_done(&s);
    }
}

static void write_config(char path[64], const char *text)
{
    strcpy(path, "/tmp/fairlead-proxy-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* With a file, kube-proxy's own flags do not count but for the name of the node. */
static void test_flags_and_file(void **state)
{
    char path[64];
    (void)state;
    write_config(path,
                 HEAD "mode: nftables\nnftables: {masqueradeBit: 3, masqueradeAll: true, "
                      "syncPeriod: 1m}\niptables: {masqueradeBit: 4}\nhostnameOverride: Other\n"
                      "clusterCIDR: 10.1.0.0/16\nnodePortAddresses: [primary, 10.0.0.0/8]\n"
                      "bindAddress: 10.9.9.9\nmetricsBindAddress: 127.0.0.1:5\n");
    struct settings s = {.config_file = path,
                         .node_name = " N1 ",
                         .cluster_cidr = "10.2.0.0/16",
                         .node_port_addresses = "11.0.0.0/8",
                         .metrics = "127.0.0.1:6",
                         .kubeconfig = "/nowhere",
                         .external_ips = true};
    char text[PREFIX_TEXT_BYTES];
    assert_int_equal(settings_resolve(&s), 0);
    assert_string_equal(s.name, "n1");
    assert_int_equal(s.cluster.n, 1);
    assert_string_equal(prefix_format(&s.cluster.v[0], text), "10.1.0.0/16");
    assert_true(s.primary && s.node_ports.n == 1 && s.node_ports.v[0].ip.bytes[0] == 10);
    assert_string_equal(s.metrics, "127.0.0.1:5");
    assert_string_equal(s.kubeconfig, "");
    assert_int_equal(s.masquerade_mark, 1 << 3);
    assert_true(s.masquerade_all && s.external_ips);
    assert_int_equal(s.unhealthy_after_ms, 120 * 1000);
    assert_int_equal(s.bind_ip.bytes[3], 9);
    settings_done(&s);
    s = (struct settings){.config_file = path};
    assert_int_equal(settings_resolve(&s), 0);
    assert_string_equal(s.name, "other");
    settings_done(&s);
    unlink(path);
}

/* Row 17: whom the relay serves, and what is refused. */
static void test_row_17_who_asks_for_the_relay(void **state)
{
    static const struct {
        const char *gates, *list; /* flags */
        const char *file;         /* or a file */
        bool localhost, v4, v6;
    } cases[] = {
#define GATE "KubeProxyNFTablesLocalhostNodePorts=true"
        {"", "localhost", NULL, false, false, false},
        {GATE, "", NULL, true, false, false},
        {GATE, "all", NULL, true, false, false},
        {GATE, "localhost,all", NULL, true, true, true},
        {GATE, "127.0.0.5/32,10.0.0.0/8", NULL, true, true, false},
        {"Other=true, " GATE, "::1/128", NULL, true, false, true},
        {"KubeProxyNFTablesLocalhostNodePorts=false", "localhost", NULL, false, false, false},
        {"", "", "iptables: {localhostNodePorts: true}\n", true, true, false},
        {"", "", "iptables: {localhostNodePorts: null}\n", false, false, false},
        {"", "", "iptables: {localhostNodePorts: true}\nnodePortAddresses: [primary]\n", false,
         false, false},
        {"", "", "iptables: {localhostNodePorts: true}\nnodePortAddresses: [10.0.0.0/8]\n", false,
         false, false},
        {"", "", "mode: nftables\niptables: {localhostNodePorts: true}\n", false, false, false},
        {"", "",
         "featureGates: {KubeProxyNFTablesLocalhostNodePorts: true}\n"
         "nodePortAddresses: [localhost]\n",
         false, false, false},
        {"", "",
         "featureGates: {KubeProxyNFTablesLocalhostNodePorts: true}\nmode: nftables\n"
         "nodePortAddresses: [localhost]\n",
         true, true, true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char path[64];
        AUTO_CHARS char *text = xasprintf(HEAD "%s", cases[i].file ? cases[i].file : "");
        struct settings s = {.node_name = "n1",
                             .feature_gates = cases[i].gates,
                             .node_port_addresses = cases[i].list};
        if (cases[i].file) {
            write_config(path, text);
            s.config_file = path;
        }
        assert_int_equal(settings_resolve(&s), 0);
        if (s.localhost != cases[i].localhost || s.relay[0] != cases[i].v4 ||
            s.relay[1] != cases[i].v6)
            fail_msg("case %zu: %d %d %d", i, s.localhost, s.relay[0], s.relay[1]);
        settings_done(&s);
        if (cases[i].file)
            unlink(path);
    }
    struct settings s = {.node_name = "n1", .feature_gates = "A=maybe"};
    assert_int_equal(settings_resolve(&s), 64);
    settings_done(&s);
}

static void test_flags_alone(void **state)
{
    (void)state;
    struct settings s = {.node_name = "n1",
                         .cluster_cidr = "10.2.0.0/16, fd00::/56",
                         .masquerade_all = true,
                         .metrics = ""};
    assert_int_equal(settings_resolve(&s), 0);
    assert_true(settings_detect_by(&s, "ClusterCIDR") && s.cluster.n == 2 && s.masquerade_all);
    assert_int_equal(s.masquerade_mark, 1 << 14);
    assert_string_equal(s.metrics, "");
    assert_string_equal(proxy_config_text(&s.config, "mode"), "nftables");
    assert_int_equal(s.node_ports.n, 0);
    assert_false(s.primary);
    settings_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_file_of_kubeadm),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_addresses_follow_the_family),
        cmocka_unit_test(test_what_is_passed_over_and_told),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_what_is_no_such_file),
        cmocka_unit_test(test_row_16_node_port_lists),
        cmocka_unit_test(test_flags_and_file),
        cmocka_unit_test(test_row_17_who_asks_for_the_relay),
        cmocka_unit_test(test_flags_alone),
    };
    return RUN_TESTS(tests);
}
