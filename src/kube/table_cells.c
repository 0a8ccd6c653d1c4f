/* The columns of every kind but pods. Words and order are those of kubectl against a real API
 * server, so that scripts and eyes find what they know. Pure functions of the object. */
#include "kube/table.h"

#include <inttypes.h>
#include <stdio.h>

#define NAME_COLUMN                                                                                \
    {                                                                                              \
        "Name", "string", 0, "metadata.name", NULL, "Name must be unique within a namespace."      \
    }
#define AGE_COLUMN                                                                                 \
    {                                                                                              \
        "Age", "date", 0, "metadata.creationTimestamp", NULL, "When the object was created."       \
    }
#define TABLE(ident)                                                                               \
    const struct table table_##ident = {ident##_columns, ARRAY_LEN(ident##_columns)}

static json_t *take_text(struct buf *b, const char *if_empty)
{
    json_t *j = json_string(b->n ? buf_cstr(b) : if_empty);
    buf_done(b);
    return j;
}

static void add_item(struct buf *b, const char *sep, const char *item)
{
    if (item)
        buf_addf(b, "%s%s", b->n ? sep : "", item);
}

/* ---- namespaces, config maps, secrets, accounts, leases ---- */

static json_t *size_of(const json_t *object, const char *a, const char *b)
{
    return json_integer((json_int_t)(json_object_size(json_at(object, a)) +
                                     (b ? json_object_size(json_at(object, b)) : 0)));
}

static json_t *configmap_data(const json_t *o)
{
    return size_of(o, "data", "binaryData");
}

static json_t *secret_data(const json_t *o)
{
    return size_of(o, "data", NULL);
}

static json_t *account_secrets(const json_t *o)
{
    return json_integer((json_int_t)json_array_size(json_at(o, "secrets")));
}

static const struct table_column plain_columns[] = {NAME_COLUMN, AGE_COLUMN};
TABLE(plain);
static const struct table_column namespace_columns[] = {
    NAME_COLUMN,
    {"Status", "string", 0, "status.phase", NULL, "The status of the namespace."},
    AGE_COLUMN};
TABLE(namespace);
static const struct table_column configmap_columns[] = {
    NAME_COLUMN, {"Data", "integer", 0, NULL, configmap_data, "The number of keys."}, AGE_COLUMN};
TABLE(configmap);
static const struct table_column secret_columns[] = {
    NAME_COLUMN,
    {"Type", "string", 0, "type", NULL, "Facilitates programmatic handling of secret data."},
    {"Data", "integer", 0, NULL, secret_data, "The number of keys."},
    AGE_COLUMN};
TABLE(secret);
static const struct table_column serviceaccount_columns[] = {
    NAME_COLUMN,
    {"Secrets", "integer", 0, NULL, account_secrets, "Secrets this account may use."},
    AGE_COLUMN};
TABLE(serviceaccount);
static const struct table_column lease_columns[] = {
    NAME_COLUMN,
    {"Holder", "string", 0, "spec.holderIdentity", NULL, "Who holds the lease."},
    AGE_COLUMN};
TABLE(lease);

/* ---- services ---- */

static void add_external_ips(struct buf *b, const json_t *service)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_at(service, "spec.externalIPs"), i, v)
        add_item(b, ",", json_string_value(v));
}

static json_t *service_external(const json_t *service)
{
    const char *type = json_at_str(service, "spec.type");
    struct buf b = {0};
    size_t i;
    json_t *v;
    if (streq(type, "ExternalName")) {
        add_item(&b, ",", json_at_str(service, "spec.externalName"));
        return take_text(&b, "<none>");
    }
    if (streq(type, "LoadBalancer")) {
        json_array_foreach(json_at(service, "status.loadBalancer.ingress"), i, v) add_item(
            &b, ",", json_at_str(v, "ip") ? json_at_str(v, "ip") : json_at_str(v, "hostname"));
        add_external_ips(&b, service);
        return take_text(&b, "<pending>");
    }
    add_external_ips(&b, service);
    return take_text(&b, "<none>");
}

static json_t *service_cluster_ip(const json_t *service)
{
    const char *ip = json_at_str(service, "spec.clusterIP");
    return json_string(str_empty(ip) ? "<none>" : ip);
}

static json_t *service_ports(const json_t *service)
{
    struct buf b = {0};
    size_t i;
    json_t *p;
    json_array_foreach(json_at(service, "spec.ports"), i, p)
    {
        int64_t node_port = json_at_int(p, "nodePort", 0);
        const char *protocol = json_at_str(p, "protocol");
        buf_addf(&b, "%s%" PRId64, b.n ? "," : "", json_at_int(p, "port", 0));
        if (node_port)
            buf_addf(&b, ":%" PRId64, node_port);
        buf_addf(&b, "/%s", protocol ? protocol : "TCP");
    }
    return take_text(&b, "<none>");
}

static void add_labels(struct buf *b, const json_t *labels)
{
    const char *key;
    json_t *v;
    const char *keys[64];
    size_t n = 0;
    json_object_foreach((json_t *)(uintptr_t)labels, key, v) if (n < ARRAY_LEN(keys)) keys[n++] =
        key;
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && strcmp(keys[k - 1], keys[k]) > 0; k--) {
            const char *swap = keys[k];
            keys[k] = keys[k - 1];
            keys[k - 1] = swap;
        }
    for (size_t i = 0; i < n; i++) {
        const char *value = json_key_str(labels, keys[i]);
        buf_addf(b, "%s%s=%s", b->n ? "," : "", keys[i], value ? value : "");
    }
}

static json_t *service_selector(const json_t *service)
{
    struct buf b = {0};
    add_labels(&b, json_at(service, "spec.selector"));
    return take_text(&b, "<none>");
}

static const struct table_column service_columns[] = {
    NAME_COLUMN,
    {"Type", "string", 0, "spec.type", NULL, "How the service is exposed."},
    {"Cluster-IP", "string", 0, NULL, service_cluster_ip, "The virtual address of the service."},
    {"External-IP", "string", 0, NULL, service_external, "Addresses outside the cluster."},
    {"Port(s)", "string", 0, NULL, service_ports, "Ports, with the node port behind the colon."},
    AGE_COLUMN,
    {"Selector", "string", 1, NULL, service_selector,
     "Pods with these labels receive the traffic."},
};
TABLE(service);

/* ---- nodes ---- */

static json_t *node_status(const json_t *node)
{
    struct buf b = {0};
    size_t i;
    json_t *c;
    json_array_foreach(json_at(node, "status.conditions"), i,
                       c) if (streq(json_at_str(c, "type"), "Ready"))
        add_item(&b, ",", streq(json_at_str(c, "status"), "True") ? "Ready" : "NotReady");
    if (!b.n)
        buf_add_cstr(&b, "Unknown");
    if (json_at_bool(node, "spec.unschedulable", false))
        buf_add_cstr(&b, ",SchedulingDisabled");
    return take_text(&b, "Unknown");
}

static json_t *node_roles(const json_t *node)
{
    static const char prefix[] = "node-role.kubernetes.io/";
    struct buf b = {0};
    const char *key;
    json_t *v;
    json_object_foreach(json_at(node, "metadata.labels"), key, v)
    {
        if (str_starts(str_from(key), STR("node-role.kubernetes.io/")) && key[strlen(prefix)])
            add_item(&b, ",", key + strlen(prefix));
        else if (streq(key, "kubernetes.io/role"))
            add_item(&b, ",", json_string_value(v));
    }
    return take_text(&b, "<none>");
}

static json_t *node_address(const json_t *node, const char *type)
{
    size_t i;
    json_t *a;
    json_array_foreach(
        json_at(node, "status.addresses"), i,
        a) if (streq(json_at_str(a, "type"), type)) return json_incref(json_at(a, "address"));
    return NULL;
}

static json_t *node_internal(const json_t *node)
{
    return node_address(node, "InternalIP");
}

static json_t *node_external(const json_t *node)
{
    return node_address(node, "ExternalIP");
}

static const struct table_column node_columns[] = {
    NAME_COLUMN,
    {"Status", "string", 0, NULL, node_status, "The status of the node."},
    {"Roles", "string", 0, NULL, node_roles, "The roles of the node."},
    AGE_COLUMN,
    {"Version", "string", 0, "status.nodeInfo.kubeletVersion", NULL, "Version the node reports."},
    {"Internal-IP", "string", 1, NULL, node_internal, "Address inside the cluster."},
    {"External-IP", "string", 1, NULL, node_external, "Address outside the cluster."},
    {"OS-Image", "string", 1, "status.nodeInfo.osImage", NULL,
     "Operating system the node reports."},
    {"Kernel-Version", "string", 1, "status.nodeInfo.kernelVersion", NULL,
     "Kernel the node reports."},
    {"Container-Runtime", "string", 1, "status.nodeInfo.containerRuntimeVersion", NULL,
     "Runtime the node reports."},
};
TABLE(node);

/* ---- deployments, replica sets ---- */

static json_t *int_cell(const json_t *o, const char *path)
{
    return json_integer((json_int_t)json_at_int(o, path, 0));
}

static json_t *deployment_ready(const json_t *o)
{
    return json_sprintf("%" PRId64 "/%" PRId64, json_at_int(o, "status.readyReplicas", 0),
                        json_at_int(o, "spec.replicas", 0));
}

static json_t *deployment_updated(const json_t *o)
{
    return int_cell(o, "status.updatedReplicas");
}

static json_t *deployment_available(const json_t *o)
{
    return int_cell(o, "status.availableReplicas");
}

static json_t *template_list(const json_t *o, const char *member)
{
    struct buf b = {0};
    size_t i;
    json_t *c;
    json_array_foreach(json_at(o, "spec.template.spec.containers"), i, c)
        add_item(&b, ",", json_at_str(c, member));
    return take_text(&b, "<none>");
}

static json_t *template_names(const json_t *o)
{
    return template_list(o, "name");
}

static json_t *template_images(const json_t *o)
{
    return template_list(o, "image");
}

static void add_expression(struct buf *b, const json_t *e)
{
    const char *op = json_at_str(e, "operator"), *key = json_at_str(e, "key");
    size_t i;
    json_t *v;
    bool not_in = streq(op, "NotIn");
    if (b->n)
        buf_add_char(b, ',');
    if (streq(op, "Exists") || streq(op, "DoesNotExist")) {
        buf_addf(b, "%s%s", streq(op, "Exists") ? "" : "!", key ? key : "");
        return;
    }
    buf_addf(b, "%s %s (", key ? key : "", not_in ? "notin" : "in");
    json_array_foreach(json_at(e, "values"), i, v)
        buf_addf(b, "%s%s", i ? "," : "", json_is_string(v) ? json_string_value(v) : "");
    buf_add_char(b, ')');
}

static json_t *workload_selector(const json_t *o)
{
    struct buf b = {0};
    size_t i;
    json_t *e;
    bool plain = streq(json_at_str(o, "kind"), "ReplicationController");
    add_labels(&b, json_at(o, plain ? "spec.selector" : "spec.selector.matchLabels"));
    if (!plain)
        json_array_foreach(json_at(o, "spec.selector.matchExpressions"), i, e)
            add_expression(&b, e);
    return take_text(&b, "<none>");
}

#define TEMPLATE_COLUMNS                                                                           \
    {"Containers", "string", 1, NULL, template_names, "Names of the containers."},                 \
        {"Images", "string", 1, NULL, template_images, "Images of the containers."},               \
    {                                                                                              \
        "Selector", "string", 1, NULL, workload_selector, "Pods with these labels belong to it."   \
    }

static const struct table_column deployment_columns[] = {
    NAME_COLUMN,
    {"Ready", "string", 0, NULL, deployment_ready, "Ready pods of those wanted."},
    {"Up-to-date", "integer", 0, NULL, deployment_updated, "Pods that have the newest template."},
    {"Available", "integer", 0, NULL, deployment_available,
     "Pods that have been ready for minReadySeconds."},
    AGE_COLUMN,
    TEMPLATE_COLUMNS,
};
TABLE(deployment);

static json_t *replicaset_desired(const json_t *o)
{
    return int_cell(o, "spec.replicas");
}

static json_t *replicaset_current(const json_t *o)
{
    return int_cell(o, "status.replicas");
}

static json_t *replicaset_ready(const json_t *o)
{
    return int_cell(o, "status.readyReplicas");
}

static const struct table_column replicaset_columns[] = {
    NAME_COLUMN,
    {"Desired", "integer", 0, NULL, replicaset_desired, "Pods wanted."},
    {"Current", "integer", 0, NULL, replicaset_current, "Pods there are."},
    {"Ready", "integer", 0, NULL, replicaset_ready, "Pods that are ready."},
    AGE_COLUMN,
    TEMPLATE_COLUMNS,
};
TABLE(replicaset);

static json_t *daemon_desired(const json_t *o)
{
    return int_cell(o, "status.desiredNumberScheduled");
}

static json_t *daemon_current(const json_t *o)
{
    return int_cell(o, "status.currentNumberScheduled");
}

static json_t *daemon_ready(const json_t *o)
{
    return int_cell(o, "status.numberReady");
}

static json_t *daemon_updated(const json_t *o)
{
    return int_cell(o, "status.updatedNumberScheduled");
}

static json_t *daemon_available(const json_t *o)
{
    return int_cell(o, "status.numberAvailable");
}

static json_t *daemon_nodes(const json_t *o)
{
    struct buf b = {0};
    add_labels(&b, json_at(o, "spec.template.spec.nodeSelector"));
    return take_text(&b, "<none>");
}

static const struct table_column daemonset_columns[] = {
    NAME_COLUMN,
    {"Desired", "integer", 0, NULL, daemon_desired, "Nodes that should run its pod."},
    {"Current", "integer", 0, NULL, daemon_current, "Of those, nodes that have one."},
    {"Ready", "integer", 0, NULL, daemon_ready, "Of those, nodes whose pod is ready."},
    {"Up-to-date", "integer", 0, NULL, daemon_updated, "Nodes whose pod has the newest template."},
    {"Available", "integer", 0, NULL, daemon_available,
     "Nodes whose pod has been ready for minReadySeconds."},
    {"Node Selector", "string", 0, NULL, daemon_nodes, "Labels of the nodes it is for."},
    AGE_COLUMN,
    TEMPLATE_COLUMNS,
};
TABLE(daemonset);

static bool job_is(const json_t *o, const char *type)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_at(o, "status.conditions"), i,
                       c) if (streq(json_at_str(c, "type"), type) &&
                              streq(json_at_str(c, "status"), "True")) return true;
    return false;
}

static json_t *job_status(const json_t *o)
{
    static const char *const before[] = {"Complete", "Failed"}, *const after[] = {
                                                                    "Suspended", "FailureTarget",
                                                                    "SuccessCriteriaMet"};
    for (size_t i = 0; i < ARRAY_LEN(before); i++)
        if (job_is(o, before[i]))
            return json_string(before[i]);
    if (json_at(o, "metadata.deletionTimestamp"))
        return json_string("Terminating");
    for (size_t i = 0; i < ARRAY_LEN(after); i++)
        if (job_is(o, after[i]))
            return json_string(after[i]);
    return json_string("Running");
}

static json_t *job_completions(const json_t *o)
{
    int64_t done = json_at_int(o, "status.succeeded", 0),
            side = json_at_int(o, "spec.parallelism", 0);
    if (json_at(o, "spec.completions"))
        return json_sprintf("%" PRId64 "/%" PRId64, done, json_at_int(o, "spec.completions", 0));
    return side > 1 ? json_sprintf("%" PRId64 "/1 of %" PRId64, done, side)
                    : json_sprintf("%" PRId64 "/1", done);
}

static json_t *job_duration(const json_t *o)
{
    const char *start = json_at_str(o, "status.startTime"),
               *end = json_at_str(o, "status.completionTime");
    return start ? json_pack("[s,s?]", start, end) : json_null();
}

static const struct table_column job_columns[] = {
    NAME_COLUMN,
    {"Status", "string", 0, NULL, job_status, "What has become of it."},
    {"Completions", "string", 0, NULL, job_completions, "Pods that succeeded, of those wanted."},
    {"Duration", "span", 0, NULL, job_duration, "From its start until it was complete."},
    AGE_COLUMN,
    TEMPLATE_COLUMNS,
};
TABLE(job);

/* ---- endpoints and slices ---- */

enum { ENDPOINTS_SHOWN = 3 };

struct shown {
    struct buf text;
    size_t n;
};

static void show_endpoint(struct shown *s, const char *ip, const json_t *port)
{
    if (s->n++ >= ENDPOINTS_SHOWN || !ip)
        return;
    bool v6 = strchr(ip, ':') != NULL;
    buf_addf(&s->text, "%s%s%s%s", s->text.n ? "," : "", v6 && port ? "[" : "", ip,
             v6 && port ? "]" : "");
    if (port)
        buf_addf(&s->text, ":%" PRId64, json_at_int(port, "port", 0));
}

static json_t *shown_text(struct shown *s, const char *if_empty)
{
    if (s->n > ENDPOINTS_SHOWN)
        buf_addf(&s->text, " + %zu more...", s->n - ENDPOINTS_SHOWN);
    return take_text(&s->text, if_empty);
}

static json_t *endpoints_cell(const json_t *o)
{
    struct shown s = {0};
    size_t i, k, l;
    json_t *subset, *port, *a;
    json_array_foreach(json_at(o, "subsets"), i, subset)
    {
        if (!json_array_size(json_at(subset, "ports")))
            json_array_foreach(json_at(subset, "addresses"), l, a)
                show_endpoint(&s, json_at_str(a, "ip"), NULL);
        json_array_foreach(json_at(subset, "ports"), k, port)
            json_array_foreach(json_at(subset, "addresses"), l, a)
                show_endpoint(&s, json_at_str(a, "ip"), port);
    }
    return shown_text(&s, "<none>");
}

static json_t *slice_endpoints(const json_t *o)
{
    struct shown s = {0};
    size_t i, k;
    json_t *e, *a;
    json_array_foreach(json_at(o, "endpoints"), i, e)
        json_array_foreach(json_at(e, "addresses"), k, a)
            show_endpoint(&s, json_string_value(a), NULL);
    return shown_text(&s, "<unset>");
}

static json_t *slice_ports(const json_t *o)
{
    struct buf b = {0};
    size_t i, n = json_array_size(json_at(o, "ports"));
    json_t *p;
    json_array_foreach(json_at(o, "ports"), i, p)
    {
        if (i == ENDPOINTS_SHOWN) {
            buf_addf(&b, " + %zu more...", n - i);
            break;
        }
        if (json_at(p, "port"))
            buf_addf(&b, "%s%" PRId64, b.n ? "," : "", json_at_int(p, "port", 0));
        else
            add_item(&b, ",", "*");
    }
    return take_text(&b, "<unset>");
}

static const struct table_column endpoints_columns[] = {
    NAME_COLUMN,
    {"Endpoints", "string", 0, NULL, endpoints_cell, "Addresses and ports."},
    AGE_COLUMN};
TABLE(endpoints);

static const struct table_column endpointslice_columns[] = {
    NAME_COLUMN,
    {"AddressType", "string", 0, "addressType", NULL, "The type of address carried by this slice."},
    {"Ports", "string", 0, NULL, slice_ports, "Ports of each endpoint."},
    {"Endpoints", "string", 0, NULL, slice_endpoints, "Addresses."},
    AGE_COLUMN,
};
TABLE(endpointslice);

/* ---- events ---- */

static json_t *event_last_seen(const json_t *o)
{
    static const char *const paths[] = {"series.lastObservedTime", "lastTimestamp", "eventTime",
                                        "metadata.creationTimestamp"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (!str_empty(json_at_str(o, paths[i])))
            return json_incref(json_at(o, paths[i]));
    return NULL;
}

static json_t *event_first_seen(const json_t *o)
{
    const char *first = json_at_str(o, "firstTimestamp"), *time = json_at_str(o, "eventTime");
    return json_string(!str_empty(first) ? first : !str_empty(time) ? time : "");
}

static json_t *event_object(const json_t *o)
{
    const char *kind = json_at_str(o, "involvedObject.kind"),
               *name = json_at_str(o, "involvedObject.name");
    struct buf b = {0};
    for (const char *p = kind ? kind : ""; *p; p++)
        buf_add_char(&b, *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p);
    buf_addf(&b, "/%s", name ? name : "");
    return take_text(&b, "");
}

static json_t *event_source(const json_t *o)
{
    const char *component = json_at_str(o, "source.component"),
               *host = json_at_str(o, "source.host");
    struct buf b = {0};
    if (str_empty(component))
        component = json_at_str(o, "reportingComponent");
    add_item(&b, ", ", str_empty(component) ? NULL : component);
    add_item(&b, ", ", str_empty(host) ? NULL : host);
    return take_text(&b, "");
}

static json_t *event_message(const json_t *o)
{
    const char *text = json_at_str(o, "message");
    struct str s = str_trim(str_from(text ? text : ""));
    while (s.n && s.p[s.n - 1] == '\n')
        s.n--;
    return json_stringn(s.n ? s.p : "", s.n);
}

static json_t *event_count(const json_t *o)
{
    int64_t n = json_at_int(o, "series.count", json_at_int(o, "count", 0));
    return json_integer((json_int_t)MAX((int64_t)1, n));
}

static const struct table_column event_columns[] = {
    {"Last Seen", "date", 0, NULL, event_last_seen, "When it happened last."},
    {"Type", "string", 0, "type", NULL, "Normal or Warning."},
    {"Reason", "string", 0, "reason", NULL, "A short word for why."},
    {"Object", "string", 0, NULL, event_object, "What it is about."},
    {"Subobject", "string", 1, "involvedObject.fieldPath", NULL, "Which part of it."},
    {"Source", "string", 1, NULL, event_source, "Who reports it."},
    {"Message", "string", 0, NULL, event_message, "What happened."},
    {"First Seen", "date", 1, NULL, event_first_seen, "When it happened first."},
    {"Count", "integer", 1, NULL, event_count, "How often."},
    {"Name", "string", 1, "metadata.name", NULL, "Name must be unique within a namespace."},
};
TABLE(event);

/* ---- ingresses ---- */

static json_t *ingress_class(const json_t *o)
{
    const char *name = json_at_str(o, "spec.ingressClassName");
    if (!name)
        name = json_key_str(json_at(o, "metadata.annotations"), "kubernetes.io/ingress.class");
    return json_string(name ? name : "<none>");
}

/* Three hosts, and how many more. */
static json_t *ingress_hosts(const json_t *o)
{
    struct buf b = {0};
    size_t i, n = 0;
    json_t *rule;
    json_array_foreach(json_at(o, "spec.rules"), i, rule)
    {
        const char *host = json_key_str(rule, "host");
        if (!str_empty(host) && n++ < 3)
            add_item(&b, ",", host);
    }
    if (n > 3)
        buf_addf(&b, " + %zu more...", n - 3);
    return take_text(&b, "*");
}

static json_t *ingress_addresses(const json_t *o)
{
    struct buf b = {0};
    size_t i;
    json_t *to;
    json_array_foreach(json_at(o, "status.loadBalancer.ingress"), i, to)
    {
        const char *ip = json_key_str(to, "ip");
        add_item(&b, ",", str_empty(ip) ? json_key_str(to, "hostname") : ip);
    }
    return take_text(&b, "");
}

static json_t *ingress_ports(const json_t *o)
{
    return json_string(json_array_size(json_at(o, "spec.tls")) ? "80, 443" : "80");
}

static const struct table_column ingress_columns[] = {
    NAME_COLUMN,
    {"Class", "string", 0, NULL, ingress_class, "The class that serves it."},
    {"Hosts", "string", 0, NULL, ingress_hosts, "Hosts of its rules."},
    {"Address", "string", 0, NULL, ingress_addresses, "Where it is reached."},
    {"Ports", "string", 0, NULL, ingress_ports, "Ports of the hosts."},
    AGE_COLUMN};
TABLE(ingress);

static json_t *class_parameters(const json_t *o)
{
    const json_t *p = json_at(o, "spec.parameters");
    const char *group = json_key_str(p, "apiGroup"), *kind = json_key_str(p, "kind"),
               *name = json_key_str(p, "name");
    AUTO_CHARS char *text = p ? xasprintf("%s%s%s/%s", kind ? kind : "", group ? "." : "",
                                          group ? group : "", name ? name : "")
                              : NULL;
    return json_string(text ? text : "<none>");
}

static const struct table_column ingress_class_columns[] = {
    NAME_COLUMN,
    {"Controller", "string", 0, "spec.controller", NULL, "Who serves it."},
    {"Parameters", "string", 0, NULL, class_parameters, "Its parameters."},
    AGE_COLUMN};
TABLE(ingress_class);

/* ---- ranges of Services' addresses ---- */

static json_t *cidrs(const json_t *o)
{
    AUTO_DONE(buf) struct buf b = {0};
    size_t i;
    json_t *one;
    json_array_foreach(json_at(o, "spec.cidrs"), i, one)
        buf_addf(&b, "%s%s", i ? "," : "", json_is_string(one) ? json_string_value(one) : "");
    return json_text(buf_str(&b));
}

static const struct table_column service_cidr_columns[] = {
    NAME_COLUMN,
    {"CIDRs", "string", 0, NULL, cidrs, "Where addresses of Services come from."},
    AGE_COLUMN};
TABLE(service_cidr);

/* ---- webhooks ---- */

static json_t *webhooks_count(const json_t *o)
{
    return json_integer((json_int_t)json_array_size(json_object_get(o, "webhooks")));
}

static const struct table_column webhooks_columns[] = {
    NAME_COLUMN, {"Webhooks", "integer", 0, NULL, webhooks_count, "How many it has."}, AGE_COLUMN};
TABLE(webhooks);

/* ---- roles ---- */

static const struct table_column role_columns[] = {
    NAME_COLUMN,
    {"Created At", "string", 0, "metadata.creationTimestamp", NULL, "When it was made."}};
TABLE(role);

static json_t *binding_role(const json_t *o)
{
    const char *kind = json_at_str(o, "roleRef.kind"), *name = json_at_str(o, "roleRef.name");
    AUTO_CHARS char *text = xasprintf("%s/%s", kind ? kind : "", name ? name : "");
    return json_string(text);
}

static json_t *binding_subjects(const json_t *o, const char *kind)
{
    struct buf b = {0};
    size_t i;
    json_t *s;
    json_array_foreach(json_object_get(o, "subjects"), i, s)
    {
        const char *name = json_key_str(s, "name"), *ns = json_key_str(s, "namespace");
        AUTO_CHARS char *text = streq(kind, "ServiceAccount")
                                    ? xasprintf("%s/%s", ns ? ns : "", name ? name : "")
                                    : xstrdup(name ? name : "");
        if (streq(json_key_str(s, "kind"), kind))
            add_item(&b, ", ", text);
    }
    return take_text(&b, "");
}

static json_t *binding_users(const json_t *o)
{
    return binding_subjects(o, "User");
}

static json_t *binding_groups(const json_t *o)
{
    return binding_subjects(o, "Group");
}

static json_t *binding_accounts(const json_t *o)
{
    return binding_subjects(o, "ServiceAccount");
}

static const struct table_column role_binding_columns[] = {
    NAME_COLUMN,
    {"Role", "string", 0, NULL, binding_role, "The role that is given."},
    AGE_COLUMN,
    {"Users", "string", 1, NULL, binding_users, "Users it is given to."},
    {"Groups", "string", 1, NULL, binding_groups, "Groups it is given to."},
    {"ServiceAccounts", "string", 1, NULL, binding_accounts, "Accounts it is given to."}};
TABLE(role_binding);

/* ---- definitions of custom kinds ---- */

static const struct table_column crd_columns[] = {
    {.name = "Name", .type = "string", .path = "metadata.name"},
    {.name = "Created At", .type = "string", .path = "metadata.creationTimestamp"},
};
TABLE(crd);
