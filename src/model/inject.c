/* The order in which things are asked is Istio's: what must never have a proxy, what the pod says,
 * what its namespace says. */
#include "model/inject.h"

#include <errno.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "model/clusters.h"
#include "model/inject_config.h"
#include "model/inject_probes.h"
#include "model/object_reader.h"

#define TRAFFIC         "traffic.sidecar.istio.io/"
#define SIDECAR         "sidecar.istio.io/"
#define READINESS       "readiness.status.sidecar.istio.io/"
#define SCRAPE          "prometheus.io/" /* who scrapes pods by their annotations */
#define STATS_ARE_FIXED "the proxy's statistics are all there, and have no tags of one's own"

enum { PROXY_ID = 1337 };

/* ---- who gets one ---- */

static const char *label(const json_t *pod, const char *name)
{
    return json_key_str(json_at(pod, "metadata.labels"), name);
}

static const char *annotation(const json_t *pod, const char *name)
{
    return json_key_str(json_at(pod, "metadata.annotations"), name);
}

static const json_t *find_container(const json_t *list, const char *name)
{
    json_t *c;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       c) if (streq(json_key_str(c, "name"), name)) return c;
    return NULL;
}

static bool is_of_the_cluster(const char *namespace_)
{
    static const char *const names[] = {"kube-system", "kube-public", "kube-node-lease",
                                        "local-path-storage"};
    for (size_t i = 0; namespace_ && i < ARRAY_LEN(names); i++)
        if (streq(namespace_, names[i]))
            return true;
    return false;
}

/* What the pod itself says: its label before its annotation. NULL: nothing. */
static const char *own_word(const json_t *pod)
{
    const char *word = label(pod, INJECT_LABEL);
    return word ? word : annotation(pod, INJECT_LABEL);
}

static struct inject_verdict by_namespace(const json_t *labels, const char *word,
                                          const char *pod_revision, const char *revision)
{
    const char *injection = json_key_str(labels, "istio-injection"),
               *ns_revision = json_key_str(labels, INJECT_REVISION);
    if (streq(injection, "disabled"))
        return (struct inject_verdict){false, "its namespace is labelled istio-injection=disabled"};
    if (streq(injection, "enabled"))
        return (struct inject_verdict){true, "its namespace is labelled istio-injection=enabled"};
    if (ns_revision)
        return streq(ns_revision, revision)
                   ? (struct inject_verdict){true,
                                             "its namespace is of our revision (istio.io/rev)"}
                   : (struct inject_verdict){false, "its namespace is of another revision"};
    if (pod_revision)
        return streq(pod_revision, revision)
                   ? (struct inject_verdict){true, "it is of our revision (istio.io/rev)"}
                   : (struct inject_verdict){false, "it is of another revision"};
    return streq(word, "true")
               ? (struct inject_verdict){true, "it is labelled " INJECT_LABEL "=true"}
               : (struct inject_verdict){false, "neither it nor its namespace asks for it"};
}

struct inject_verdict inject_decide(const json_t *pod, const char *namespace_,
                                    const json_t *namespace_labels, const struct inject_options *o)
{
    const json_t *spec = json_object_get(pod, "spec");
    const char *word = own_word(pod);
    if (json_is_true(json_object_get(spec, "hostNetwork")))
        return (struct inject_verdict){false, "it has its node's network (hostNetwork)"};
    if (is_of_the_cluster(namespace_))
        return (struct inject_verdict){false, "its namespace is the cluster's own"};
    if (annotation(pod, SIDECAR "status") ||
        find_container(json_object_get(spec, "initContainers"), INJECT_PROXY) ||
        find_container(json_object_get(spec, "containers"), INJECT_PROXY))
        return (struct inject_verdict){false, "it has one already"};
    if (word && !streq(word, "true"))
        return (struct inject_verdict){false, "it says so (" INJECT_LABEL ")"};
    if (!namespace_labels)
        return (struct inject_verdict){true, "it was asked for"};
    return by_namespace(namespace_labels, word, label(pod, INJECT_REVISION), o->revision);
}

/* ---- what annotations say ---- */

static int refuse(struct err *reterr, const char *name, const char *value, const char *why)
{
    AUTO_CHARS char *field = xasprintf("metadata.annotations[%s]", name);
    return err_set(reterr, -EINVAL, field, "\"%.100s\": %s", value, why);
}

static bool are_ports(const char *text)
{
    struct str rest = str_from(text);
    while (rest.n) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        uint64_t n;
        if (one.n && !str_is(one, "*") && (str_to_u64(one, &n) < 0 || n < 1 || n > 65535))
            return false;
    }
    return true;
}

static bool are_networks(const char *text)
{
    struct str rest = str_from(text);
    while (rest.n) {
        struct str one = str_trim(str_cut(rest, ',', &rest));
        struct prefix p;
        if (one.n && !str_is(one, "*") && prefix_parse(one, &p) < 0)
            return false;
    }
    return true;
}

/* Annotations that are flags of `fairlead-proxy interception`. */
static const struct {
    const char *name, *flag;
    bool (*is_good)(const char *text);
    const char *form;
} traffic[] = {
    {TRAFFIC "includeInboundPorts", "--inbound-ports", are_ports, "ports with commas, or *"},
    {TRAFFIC "excludeInboundPorts", "--exclude-inbound-ports", are_ports, "ports with commas"},
    {TRAFFIC "includeOutboundIPRanges", "--outbound-ip-ranges", are_networks,
     "networks with commas, or *"},
    {TRAFFIC "excludeOutboundIPRanges", "--exclude-outbound-ip-ranges", are_networks,
     "networks with commas"},
    {TRAFFIC "includeOutboundPorts", "--outbound-ports", are_ports, "ports with commas, or *"},
    {TRAFFIC "excludeOutboundPorts", "--exclude-outbound-ports", are_ports, "ports with commas"},
};

/* Those that change what a pod does, and are not done: told, not passed over. */
static const struct {
    const char *name, *only, *why;
} fixed[] = {
    {SIDECAR "interceptionMode", "REDIRECT", "only REDIRECT is done"},
    {SIDECAR "bootstrapOverride", "", "no bootstrap of one's own is taken"},
    {SIDECAR "userVolume", "", "no volumes are put in: the pod may name its own"},
    {SIDECAR "userVolumeMount", "", "no volumes are put in: the pod may name its own"},
    {SIDECAR "componentLogLevel", "", "there is one level: " SIDECAR "logLevel"},
    {SIDECAR "discoveryAddress", "", "the control plane is the one that injects"},
    {TRAFFIC "kubevirtInterfaces", "", "virtual machines' interfaces are not led to the proxy"},
    {TRAFFIC "excludeInterfaces", "", "interfaces are not left out: leave out ports or networks"},
    {"inject.istio.io/templates", "", "there is one template"},
    {"proxy.istio.io/overrides", "", "it is not read yet: use the annotations of " SIDECAR},
    {"status.sidecar.istio.io/port", "15020", "the port is 15020"},
    {READINESS "applicationPorts", "", "the app's own readiness probe tells of its ports"},
    {SIDECAR "extraStatTags", "", STATS_ARE_FIXED},
    {SIDECAR "statsInclusionPrefixes", "", STATS_ARE_FIXED},
    {SIDECAR "statsInclusionSuffixes", "", STATS_ARE_FIXED},
    {SIDECAR "statsInclusionRegexps", "", STATS_ARE_FIXED},
    {SIDECAR "statsHistogramBuckets", "", STATS_ARE_FIXED},
    {SIDECAR "statsCompression", "false", STATS_ARE_FIXED},
};

/* true or false, and what it is where nothing is said. */
static const struct {
    const char *name;
    bool otherwise;
} switches[] = {{SIDECAR "nativeSidecar", true},
                {SIDECAR "rewriteAppHTTPProbers", true},
                {"prometheus.istio.io/merge-metrics", true}};
enum { NATIVE_SIDECAR, REWRITE_PROBES, MERGE_METRICS };

static bool is_on(const json_t *pod, size_t i)
{
    const char *value = annotation(pod, switches[i].name);
    return value ? streq(value, "true") : switches[i].otherwise;
}

/* Numbers of the proxy's readiness probe. */
static const struct {
    const char *name, *field;
    int otherwise;
} readiness[] = {{READINESS "periodSeconds", "periodSeconds", 15},
                 {READINESS "failureThreshold", "failureThreshold", 4},
                 {READINESS "initialDelaySeconds", "initialDelaySeconds", 0}};

/* Istio's words for what ours has. */
static const struct {
    const char *istio, *ours;
} levels[] = {{"trace", "debug"},  {"debug", "debug"}, {"info", "info"},
              {"warning", "warn"}, {"error", "error"}, {"critical", "error"}};

static const char *level_of(const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(levels); i++)
        if (streq(levels[i].istio, word))
            return levels[i].ours;
    return NULL;
}

static int read_numbers(const json_t *pod, struct err *reterr)
{
    const char *level = annotation(pod, SIDECAR "logLevel");
    for (size_t i = 0; i < ARRAY_LEN(readiness); i++) {
        const char *value = annotation(pod, readiness[i].name);
        uint64_t n;
        if (value &&
            (str_to_u64(str_from(value), &n) < 0 || n > 3600 || (n == 0 && readiness[i].otherwise)))
            return refuse(reterr, readiness[i].name, value, "a number of at most 3600");
    }
    if (level && !level_of(level))
        return refuse(reterr, SIDECAR "logLevel", level,
                      "trace, debug, info, warning, error or critical, for the whole proxy");
    return 0;
}

static int read_traffic(const json_t *pod, json_t *args, struct err *reterr)
{
    for (size_t i = 0; i < ARRAY_LEN(traffic); i++) {
        const char *value = annotation(pod, traffic[i].name);
        if (!value)
            continue;
        if (!traffic[i].is_good(value))
            return refuse(reterr, traffic[i].name, value, traffic[i].form);
        json_array_append_new(args, json_string(traffic[i].flag));
        json_array_append_new(args, json_string(value));
    }
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        const char *value = annotation(pod, fixed[i].name);
        if (value && !streq(value, fixed[i].only))
            return refuse(reterr, fixed[i].name, value, fixed[i].why);
    }
    for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
        const char *value = annotation(pod, switches[i].name);
        if (value && !streq(value, "true") && !streq(value, "false"))
            return refuse(reterr, switches[i].name, value, "true or false");
    }
    return read_numbers(pod, reterr);
}

static int read_config(const json_t *pod, const struct inject_settings *by,
                       struct inject_config *ret, struct err *reterr)
{
    const char *text = annotation(pod, INJECT_CONFIG);
    AUTO_DONE(object_reader) struct object_reader silent = {0};
    struct err err = {0};
    for (size_t i = 0; by && i < ARRAY_LEN(by->under); i++)
        inject_config_lay(by->under[i], &silent, ret);
    if (text && inject_config_read(text, ret, &err) < 0)
        return refuse(reterr, INJECT_CONFIG, text, err_text(&err));
    if (by)
        inject_config_lay(by->over, &silent, ret);
    return 0;
}

/* ---- the containers ---- */

static void set_quantity(const json_t *pod, const char *name, json_t *to, const char *key,
                         const char *otherwise)
{
    const char *value = annotation(pod, name);
    json_object_set_new(to, key, json_string(value ? value : otherwise));
}

/* Istio's annotations; a tenth of its requests. */
static json_t *resources(const json_t *pod)
{
    json_t *requests = json_object(), *limits = json_object();
    set_quantity(pod, SIDECAR "proxyCPU", requests, "cpu", "10m");
    set_quantity(pod, SIDECAR "proxyMemory", requests, "memory", "16Mi");
    set_quantity(pod, SIDECAR "proxyCPULimit", limits, "cpu", "2");
    set_quantity(pod, SIDECAR "proxyMemoryLimit", limits, "memory", "1Gi");
    return json_pack("{s:o,s:o}", "requests", requests, "limits", limits);
}

static const char *init_name(const struct inject_options *o)
{
    return o->cni ? INJECT_CHECK : INJECT_INIT;
}

static const char *image_of(const json_t *pod, const struct inject_options *o)
{
    const char *own = annotation(pod, SIDECAR "proxyImage");
    return own ? own : o->image;
}

/* Who makes the rules, or sees that the node has made them: of the args fairlead-cni reads which.
 * args: taken. */
static json_t *init_container(const json_t *pod, json_t *args, const struct inject_options *o)
{
    int user = o->cni ? PROXY_ID : 0;
    json_t *rights = json_pack("{s:{s:[s]},s:b,s:b,s:i,s:i,s:b}", "capabilities", "drop", "ALL",
                               "allowPrivilegeEscalation", 0, "readOnlyRootFilesystem", 1,
                               "runAsUser", user, "runAsGroup", user, "runAsNonRoot", o->cni);
    if (o->cni)
        json_array_insert_new(args, 1, json_string("--check"));
    else
        json_object_set_new(json_object_get(rights, "capabilities"), "add",
                            json_pack("[s]", "NET_ADMIN"));
    return json_pack("{s:s,s:s,s:o,s:o,s:o}", "name", init_name(o), "image", image_of(pod, o),
                     "args", args, "securityContext", rights, "resources", resources(pod));
}

static json_t *field_variable(const char *name, const char *path)
{
    return json_pack("{s:s,s:{s:{s:s}}}", "name", name, "valueFrom", "fieldRef", "fieldPath", path);
}

static json_t *mount(const char *name, const char *path)
{
    return json_pack("{s:s,s:s,s:b}", "name", name, "mountPath", path, "readOnly", 1);
}

static json_t *readiness_probe(const json_t *pod)
{
    json_t *probe = json_pack("{s:{s:s,s:i}}", "httpGet", "path", "/healthz/ready", "port", 15021);
    for (size_t i = 0; i < ARRAY_LEN(readiness); i++) {
        const char *value = annotation(pod, readiness[i].name);
        uint64_t n = (uint64_t)readiness[i].otherwise;
        if (value && str_to_u64(str_from(value), &n) < 0)
            n = (uint64_t)readiness[i].otherwise;
        if (n)
            json_object_set_new(probe, readiness[i].field, json_integer((json_int_t)n));
    }
    return probe;
}

/* It is the first of the containers, and the others wait until it can be used. */
static void make_plain(json_t *container)
{
    json_t *wait =
        json_pack("{s:{s:[s,s,s,s,s,s]}}", "exec", "command", "fairlead-proxy", "request", "GET",
                  "/healthz/ready", "--admin-port=15020", "--wait=60s");
    json_object_del(container, "restartPolicy");
    json_object_set_new(container, "lifecycle", json_pack("{s:o}", "postStart", wait));
}

/* Where the app's own metrics are, which the proxy puts behind its own. */
static void add_metrics(const json_t *pod, json_t *env)
{
    static const char *const words[] = {"scrape", "port", "path"};
    AUTO_JSON json_t *all = json_object();
    AUTO_DONE(buf) struct buf text = {0};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        AUTO_CHARS char *name = xasprintf(SCRAPE "%s", words[i]);
        if (annotation(pod, name))
            json_object_set_new(all, words[i], json_string(annotation(pod, name)));
    }
    if (!is_on(pod, MERGE_METRICS) || !streq(json_key_str(all, "scrape"), "true"))
        return;
    json_write(&text, all);
    json_array_append_new(env, json_pack("{s:s,s:s}", "name", "ISTIO_PROMETHEUS_ANNOTATIONS",
                                         "value", buf_cstr(&text)));
}

static void add_cluster(const struct inject_options *o, json_t *env)
{
    if (o->cluster_id && !streq(o->cluster_id, CLUSTER_DEFAULT_ID))
        json_array_append_new(
            env, json_pack("{s:s,s:s}", "name", "ISTIO_META_CLUSTER_ID", "value", o->cluster_id));
}

static void add_config(const struct inject_config *c, json_t *args, json_t *env)
{
    if (c->workers)
        json_array_append_new(args, json_sprintf("--concurrency=%u", c->workers));
    if (c->drain_s)
        json_array_append_new(args, json_sprintf("--drain=%us", c->drain_s));
    if (c->dns_capture)
        json_array_append_new(
            env, json_pack("{s:s,s:s}", "name", "ISTIO_META_DNS_CAPTURE", "value", "true"));
}

static bool has_variable(const json_t *env, const char *name)
{
    for (size_t i = 0; i < json_array_size(env); i++)
        if (streq(json_key_str(json_array_get(env, i), "name"), name))
            return true;
    return false;
}

/* What a proxy is told of itself is not somebody else's to say. */
static void add_variables(json_t *more, json_t *env)
{
    const char *name;
    json_t *value;
    json_object_foreach(more, name, value) if (!has_variable(env, name))
        json_array_append_new(env, json_pack("{s:s,s:O}", "name", name, "value", value));
}

/* probes: what it asks instead of the kubelet; borrowed. */
static json_t *proxy_container(const json_t *pod, const char *workload, const json_t *probes,
                               const struct inject_config *config, const struct inject_options *o)
{
    json_t *args =
        json_pack("[s,s]", "--sidecar", "--xds-token-file=/var/run/secrets/tokens/istio-token");
    json_t *env = json_pack("[o,o,o]", field_variable("POD_NAME", "metadata.name"),
                            field_variable("POD_NAMESPACE", "metadata.namespace"),
                            field_variable("POD_IP", "status.podIP"));
    json_t *rights = json_pack("{s:{s:[s]},s:b,s:b,s:i,s:i,s:b}", "capabilities", "drop", "ALL",
                               "allowPrivilegeEscalation", 0, "readOnlyRootFilesystem", 1,
                               "runAsUser", PROXY_ID, "runAsGroup", PROXY_ID, "runAsNonRoot", 1);
    json_t *ports = json_pack("[{s:s,s:i},{s:s,s:i}]", "name", "http-envoy-prom", "containerPort",
                              15090, "name", "status-port", "containerPort", 15021);
    json_t *probe = json_pack("{s:{s:s,s:i},s:i,s:i}", "httpGet", "path", "/healthz/ready", "port",
                              15021, "periodSeconds", 1, "failureThreshold", 600);
    json_t *mounts = json_pack("[o,o]", mount("fairlead-trust", "/var/run/secrets/fairlead"),
                               mount("fairlead-token", "/var/run/secrets/tokens"));
    if (annotation(pod, SIDECAR "logLevel"))
        json_array_append_new(
            args, json_sprintf("--log-level=%s", level_of(annotation(pod, SIDECAR "logLevel"))));
    if (o->control)
        json_array_append_new(args, json_sprintf("--control=%s", o->control));
    if (workload)
        json_array_append_new(env, json_pack("{s:s,s:s}", "name", "WORKLOAD", "value", workload));
    if (json_object_size(probes)) {
        AUTO_DONE(buf) struct buf text = {0};
        json_write(&text, probes);
        json_array_append_new(env, json_pack("{s:s,s:s}", "name", "ISTIO_KUBE_APP_PROBERS", "value",
                                             buf_cstr(&text)));
    }
    add_metrics(pod, env);
    add_config(config, args, env);
    add_cluster(o, env);
    add_variables(config->env, env);
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "name", INJECT_PROXY, "image",
                     image_of(pod, o), "restartPolicy", "Always", "args", args, "env", env, "ports",
                     ports, "securityContext", rights, "startupProbe", probe, "readinessProbe",
                     readiness_probe(pod), "resources", resources(pod), "volumeMounts", mounts);
}

/* As Istio's, so that a stock CA takes it, too. */
static json_t *token_volume(void)
{
    return json_pack("{s:s,s:{s:[{s:{s:s,s:s,s:i}}]}}", "name", "fairlead-token", "projected",
                     "sources", "serviceAccountToken", "path", "istio-token", "audience",
                     "istio-ca", "expirationSeconds", 43200);
}

/* ---- the pod ---- */

static json_t *list_of(json_t *spec, const char *name)
{
    json_t *list = json_object_get(spec, name);
    if (!json_is_array(list))
        json_object_set_new(spec, name, list = json_array());
    return list;
}

static json_t *object_of(json_t *in, const char *name)
{
    json_t *j = json_object_get(in, name);
    if (!json_is_object(j))
        json_object_set_new(in, name, j = json_object());
    return j;
}

static void set_if_absent(json_t *in, const char *name, const char *value)
{
    if (value && !json_object_get(in, name))
        json_object_set_new(in, name, json_string(value));
}

/* What others know the pod by (Istio's canonical service and revision), and what was put in. */
static void describe(json_t *pod, const char *workload, const struct inject_options *o)
{
    json_t *meta = object_of(pod, "metadata"), *labels = object_of(meta, "labels"),
           *annotations = object_of(meta, "annotations");
    const char *app = json_key_str(labels, "app.kubernetes.io/name"),
               *version = json_key_str(labels, "app.kubernetes.io/version"),
               *first = json_at_str(json_array_get(json_at(pod, "spec.containers"), 0), "name");
    app = app ? app : json_key_str(labels, "app");
    version = version ? version : json_key_str(labels, "version");
    set_if_absent(labels, "service.istio.io/canonical-name", app ? app : workload);
    set_if_absent(labels, "service.istio.io/canonical-revision", version ? version : "latest");
    set_if_absent(labels, "security.istio.io/tlsMode", "istio"); /* it takes the mesh's TLS */
    set_if_absent(annotations, INJECT_REVISION, o->revision);
    set_if_absent(annotations, "kubectl.kubernetes.io/default-container", first);
    set_if_absent(annotations, "kubectl.kubernetes.io/default-logs-container", first);
    if (is_on(pod, MERGE_METRICS) && !streq(json_key_str(annotations, SCRAPE "scrape"), "false")) {
        json_object_set_new(annotations, SCRAPE "scrape", json_string("true"));
        json_object_set_new(annotations, SCRAPE "port", json_string("15020"));
        json_object_set_new(annotations, SCRAPE "path", json_string("/stats/prometheus"));
    }
    json_object_set_new(
        annotations, SIDECAR "status",
        json_sprintf(is_on(pod, NATIVE_SIDECAR)
                         ? "{\"initContainers\":[\"%s\",\"%s\"],\"containers\":null,"
                           "\"volumes\":[\"fairlead-trust\",\"fairlead-token\"],\"revision\":"
                           "\"%s\"}"
                         : "{\"initContainers\":[\"%s\"],\"containers\":[\"%s\"],"
                           "\"volumes\":[\"fairlead-trust\",\"fairlead-token\"],\"revision\":"
                           "\"%s\"}",
                     init_name(o), INJECT_PROXY, o->revision));
}

/* Beside the pod's own: before what the app sets up, which may call others, too. */
static void put_in(json_t *spec, json_t *init, json_t *proxy, bool native)
{
    json_array_insert_new(list_of(spec, "initContainers"), 0, init);
    if (native) {
        json_array_insert_new(list_of(spec, "initContainers"), 1, proxy);
    } else {
        make_plain(proxy);
        json_array_insert_new(list_of(spec, "containers"), 0, proxy);
    }
    json_array_append_new(
        list_of(spec, "volumes"),
        json_pack("{s:s,s:{s:s}}", "name", "fairlead-trust", "configMap", "name", INJECT_TRUST));
    json_array_append_new(list_of(spec, "volumes"), token_volume());
}

int inject_pod(json_t *pod, const char *workload, const struct inject_options *o,
               struct err *reterr)
{
    json_t *spec = json_object_get(pod, "spec");
    AUTO_JSON json_t *args = json_pack("[s]", "interception");
    AUTO_JSON json_t *probes = NULL;
    AUTO_JSON json_t *changed = NULL; /* the pod is as it was until all is well */
    AUTO_DONE(inject_config) struct inject_config config = {.dns_capture = o->dns_capture};
    if (!json_is_array(json_object_get(spec, "containers")))
        return err_set(reterr, -EINVAL, "spec.containers", "there is none");
    int r = read_traffic(pod, args, reterr);
    if (r == 0)
        r = read_config(pod, o->settings, &config, reterr);
    if (r == 0 && config.dns_capture)
        json_array_append_new(args, json_string("--dns"));
    changed = json_deep_copy(spec);
    if (r == 0 && is_on(pod, REWRITE_PROBES))
        r = inject_probes(changed, &probes, reterr);
    if (r < 0)
        return r;
    put_in(changed, init_container(pod, TAKE(args), o),
           proxy_container(pod, workload, probes, &config, o), is_on(pod, NATIVE_SIDECAR));
    describe(pod, workload, o); /* behind what has read its annotations */
    json_object_set(pod, "spec", changed);
    return 0;
}

json_t *inject_pod_of(json_t *object)
{
    static const char *const templates[] = {"Deployment", "ReplicaSet", "StatefulSet",
                                            "DaemonSet",  "Job",        "ReplicationController"};
    const char *kind = json_key_str(object, "kind");
    if (streq(kind, "Pod"))
        return object;
    if (streq(kind, "CronJob"))
        return json_at(object, "spec.jobTemplate.spec.template");
    for (size_t i = 0; i < ARRAY_LEN(templates); i++)
        if (streq(kind, templates[i]))
            return json_at(object, "spec.template");
    return NULL;
}
