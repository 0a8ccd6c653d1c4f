/* The node as a whole: registration, heartbeat, and the pods bound to it.
 *
 * One loop. The Node object is made (or brought up to date) first; a Lease in kube-node-lease is
 * renewed every 10 s; pods come from a watch with fieldSelector spec.nodeName. Nothing of an
 * earlier process is adopted: its containers died with it. Owns all pods; a pod that left the API
 * is killed and freed. */
#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/files.h"
#include "base/time.h"
#include "lab/fabric.h"
#include "lab/node/image_watch.h"
#include "lab/node/node_announce.h"
#include "lab/node/node_host_ports.h"
#include "lab/node/node_masquerade.h"
#include "lab/node/node_priv.h"
#include "lab/object_reading.h"

enum { LEASE_RENEW_MS = 10000, REGISTER_RETRY_MS = 500, LEASE_SECONDS = 40, NODE_PODS = 110 };

#define LEASES "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"

/* ---- pods ---- */

static void on_pod(json_t *object, void *user)
{
    struct node *n = user;
    char key[512];
    struct pod *p = map_find_cstr(&n->pods, object_key(object, key));
    if (p && !streq(p->uid,
                    json_at_str(object, "metadata.uid"))) { /* deleted and made again in between */
        map_remove_cstr(&n->pods, key);
        pod_free(p);
        p = NULL;
    }
    if (p) {
        pod_update(p, object);
        return;
    }
    const char *phase = json_at_str(object, "status.phase");
    if ((streq(phase, "Succeeded") || streq(phase, "Failed")) &&
        !json_at(object, "metadata.deletionTimestamp"))
        return; /* over before we came */
    p = pod_new(n, object);
    map_put_cstr(&n->pods, p->key, p);
    pod_advance(p);
}

static void on_pod_gone(struct str key, json_t *object, void *user)
{
    (void)object;
    struct node *n = user;
    struct pod *p = map_remove(&n->pods, key);
    if (p)
        pod_free(p);
}

static void on_images(void *user)
{
    struct node *n = user;
    void *value;
    for (size_t at = 0; map_next(&n->pods, &at, NULL, &value);) {
        struct pod *p = value;
        for (size_t i = 0; i < p->n_containers; i++)
            pod_container_images_changed(&p->containers[i]);
    }
}

static void on_pods_error(const char *text, void *user)
{
    const struct node *n = user;
    log_warn("watching pods", kv_s("node", n->options->name), kv_s("error", text));
}

static void watch_pods(struct node *n)
{
    static const struct informer_ops ops = {
        .on_upsert = on_pod, .on_delete = on_pod_gone, .on_error = on_pods_error};
    AUTO_CHARS char *selector = xasprintf("spec.nodeName=%s", n->options->name);
    const struct informer_options o = {.path = "/api/v1/pods", .field_selector = selector};
    n->pods_informer = informer_start(n->client, &o, &ops, n);
}

/* ---- the Node object ---- */

static void add_address(json_t *list, const char *type, const struct ip *ip)
{
    char text[IP_TEXT_BYTES];
    if (ip->family)
        json_array_append_new(list,
                              json_pack("{s:s,s:s}", "type", type, "address", ip_format(ip, text)));
}

static json_t *labels_json(const struct node_options *o, const char *arch)
{
    json_t *labels =
        json_pack("{s:s,s:s,s:s,s:s,s:s}", "kubernetes.io/hostname", o->name, "kubernetes.io/os",
                  "linux", "kubernetes.io/arch", arch, "topology.kubernetes.io/region", "lab",
                  "topology.kubernetes.io/zone", "lab-a");
    for (size_t i = 0; i < o->n_labels; i++) {
        struct str value, key = str_cut(str_from(o->labels[i]), '=', &value);
        AUTO_CHARS char *k = str_dup(key);
        json_object_set_new(labels, k, json_stringn(value.p ? value.p : "", value.n));
    }
    return labels;
}

static const char *go_arch(const char *machine)
{
    if (streq(machine, "x86_64"))
        return "amd64";
    return streq(machine, "aarch64") ? "arm64" : machine;
}

static json_t *node_spec_json(const struct node *n)
{
    const struct node_options *o = n->options;
    struct utsname u;
    char text[PREFIX_TEXT_BYTES];
    (void)uname(&u);
    json_t *cidrs = json_array();
    if (o->pod_v4.ip.family)
        json_array_append_new(cidrs, json_string(prefix_format(&o->pod_v4, text)));
    if (o->pod_v6.ip.family)
        json_array_append_new(cidrs, json_string(prefix_format(&o->pod_v6, text)));
    json_t *j = json_pack("{s:s,s:s,s:{s:s,s:o},s:{s:s}}", "apiVersion", "v1", "kind", "Node",
                          "metadata", "name", o->name, "labels", labels_json(o, go_arch(u.machine)),
                          "spec", "providerID", "");
    json_del(j, "spec.providerID");
    json_put_str(j, "spec.podCIDR", json_string_value(json_array_get(cidrs, 0)));
    json_put(j, "spec.podCIDRs", cidrs);
    return j;
}

static json_t *conditions_of_node(const json_t *node)
{
    static const char *const pressures[][3] = {
        {"MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"},
        {"DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"},
        {"PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"}};
    json_t *list = json_array(), *c;
    char now[21];
    time_format_rfc3339(time_real_s(), now);
    for (size_t i = 0; i < ARRAY_LEN(pressures); i++)
        json_array_append_new(
            list, condition_new(node, pressures[i][0], "False", pressures[i][1], pressures[i][2]));
    json_array_append_new(
        list, condition_new(node, "Ready", "True", "KubeletReady", "the node runs pods"));
    size_t i;
    json_array_foreach(list, i, c) json_put_str(c, "lastHeartbeatTime", now);
    return list;
}

static json_t *node_status_json(const struct node *n, const json_t *node)
{
    const struct node_options *o = n->options;
    struct utsname u;
    (void)uname(&u);
    AUTO_CHARS char *cpu = xasprintf("%ld", sysconf(_SC_NPROCESSORS_ONLN));
    AUTO_CHARS char *memory =
        xasprintf("%ldKi", sysconf(_SC_PHYS_PAGES) * (sysconf(_SC_PAGESIZE) / 1024));
    AUTO_JSON json_t *capacity = json_pack("{s:s,s:s,s:s,s:s}", "cpu", cpu, "memory", memory,
                                           "pods", "110", "ephemeral-storage", "10Gi");
    json_t *addresses = json_array();
    for (size_t i = 0; i < 2; i++)
        add_address(addresses, "InternalIP", &o->internal[i]);
    for (size_t i = 0; i < 2; i++)
        add_address(addresses, "ExternalIP", &o->external[i]);
    json_array_append_new(addresses,
                          json_pack("{s:s,s:s}", "type", "Hostname", "address", o->name));
    json_t *status =
        json_pack("{s:O,s:O,s:o,s:o,s:{s:{s:i}}}", "capacity", capacity, "allocatable", capacity,
                  "addresses", addresses, "conditions", conditions_of_node(node), "daemonEndpoints",
                  "kubeletEndpoint", "Port", (int)o->kubelet_port);
    json_t *info =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "architecture", go_arch(u.machine),
                  "operatingSystem", "linux", "kernelVersion", u.release, "osImage", "Fairlead lab",
                  "kubeletVersion", "v1.33.0-fairlead", "kubeProxyVersion", "",
                  "containerRuntimeVersion", "fairlead://" FAIRLEAD_VERSION, "machineID", o->name,
                  "systemUUID", o->name, "bootID", o->name);
    json_put(status, "nodeInfo", info);
    return status;
}

static void node_register(void *user);

static void on_status(const struct kube_result *r, void *user)
{
    struct node *n = user;
    if (!kube_ok(r)) {
        log_warn("node status not taken", kv_s("node", n->options->name),
                 kv_s("error", r->message));
        return;
    }
    if (!n->registered)
        log_info("node registered", kv_s("node", n->options->name));
    n->registered = true;
}

static void send_status(struct node *n, const json_t *node)
{
    AUTO_CHARS char *path = xasprintf("/api/v1/nodes/%s/status", n->options->name);
    AUTO_JSON json_t *patch = json_pack("{s:o}", "status", node_status_json(n, node));
    kube_call(n->client, "PATCH", path, MERGE_PATCH, patch, on_status, n);
}

static void on_updated(const struct kube_result *r, void *user)
{
    struct node *n = user;
    if (kube_ok(r) && r->object)
        send_status(n, r->object);
    else
        loop_timer_start(n->lease_timer, REGISTER_RETRY_MS);
}

static void on_created(const struct kube_result *r, void *user)
{
    struct node *n = user;
    if (kube_ok(r)) {
        send_status(n, r->object);
        return;
    }
    if (r->code == 0 && r->status == 409) {
        AUTO_CHARS char *path = xasprintf("/api/v1/nodes/%s", n->options->name);
        AUTO_JSON json_t *whole = node_spec_json(n);
        AUTO_JSON json_t *patch =
            json_pack("{s:{s:O}}", "metadata", "labels", json_at(whole, "metadata.labels"));
        kube_call(n->client, "PATCH", path, MERGE_PATCH, patch, on_updated, n);
        return;
    }
    log_warn("node not registered yet", kv_s("node", n->options->name), kv_s("error", r->message));
    loop_timer_start(n->lease_timer, REGISTER_RETRY_MS);
}

static void node_register(void *user)
{
    struct node *n = user;
    AUTO_JSON json_t *node = node_spec_json(n);
    AUTO_JSON json_t *with_status = json_incref(node);
    json_put(with_status, "status", node_status_json(n, node));
    kube_call(n->client, "POST", "/api/v1/nodes", NULL, with_status, on_created, n);
}

/* ---- heartbeat ---- */

static void on_lease(const struct kube_result *r, void *user)
{
    struct node *n = user;
    bool retry = !kube_ok(r);
    json_decref(n->lease);
    n->lease = kube_ok(r) && r->object ? json_incref(r->object) : NULL;
    loop_timer_start(n->lease_timer, retry ? REGISTER_RETRY_MS : LEASE_RENEW_MS);
}

static void renew(struct node *n)
{
    char now[28];
    time_format_rfc3339_micro(time_real_us(), now);
    AUTO_CHARS char *path = xasprintf(LEASES "/%s", n->options->name);
    AUTO_JSON json_t *patch =
        json_pack("{s:{s:s,s:i,s:s}}", "spec", "holderIdentity", n->options->name,
                  "leaseDurationSeconds", LEASE_SECONDS, "renewTime", now);
    if (n->lease) {
        kube_call(n->client, "PATCH", path, MERGE_PATCH, patch, on_lease, n);
        return;
    }
    json_put_str(patch, "apiVersion", "coordination.k8s.io/v1");
    json_put_str(patch, "kind", "Lease");
    json_put_str(patch, "metadata.name", n->options->name);
    json_put_str(patch, "metadata.namespace", "kube-node-lease");
    kube_call(n->client, "POST", LEASES, NULL, patch, on_lease, n);
}

static void on_lease_read(const struct kube_result *r, void *user)
{
    struct node *n = user;
    n->lease = kube_ok(r) && r->object ? json_incref(r->object) : NULL;
    if (r->code == 0)
        renew(n);
    else
        loop_timer_start(n->lease_timer, REGISTER_RETRY_MS);
}

static void on_heartbeat(void *user)
{
    struct node *n = user;
    if (!n->registered)
        node_register(n);
    if (n->lease) {
        renew(n);
        return;
    }
    AUTO_CHARS char *path = xasprintf(LEASES "/%s", n->options->name);
    kube_call(n->client, "GET", path, NULL, NULL, on_lease_read, n);
}

/* ---- Nodes and Services ---- */

/* Someone (the node controller) thinks we are not there: say that we are. */
static void on_node(json_t *object, void *user)
{
    struct node *n = user;
    if (streq(json_at_str(object, "metadata.name"), n->options->name) && n->registered &&
        !condition_is_true(object, "Ready"))
        send_status(n, object);
    node_announce_changed(n->announce);
}

static void on_service(json_t *object, void *user)
{
    const struct node *n = user;
    (void)object;
    node_announce_changed(n->announce);
}

static void on_gone(struct str key, json_t *object, void *user)
{
    const struct node *n = user;
    (void)key;
    (void)object;
    node_announce_changed(n->announce);
}

static void on_nodes_synced(void *user)
{
    const struct node *n = user;
    node_announce_changed(n->announce);
}

static void on_nodes_error(const char *text, void *user)
{
    const struct node *n = user;
    log_warn("watching nodes", kv_s("node", n->options->name), kv_s("error", text));
}

static void watch_nodes(struct node *n)
{
    static const struct informer_ops ops = {.on_upsert = on_node,
                                            .on_delete = on_gone,
                                            .on_synced = on_nodes_synced,
                                            .on_error = on_nodes_error};
    const struct informer_options o = {.path = "/api/v1/nodes", .cache = true};
    n->nodes_informer = informer_start(n->client, &o, &ops, n);
}

/* Containers are told of Services: pods come after the first list of them. */
static void on_services_synced(void *user)
{
    struct node *n = user;
    if (!n->pods_informer)
        watch_pods(n);
    node_announce_changed(n->announce);
}

static void on_services_error(const char *text, void *user)
{
    const struct node *n = user;
    log_warn("watching services", kv_s("node", n->options->name), kv_s("error", text));
}

static void watch_services(struct node *n)
{
    static const struct informer_ops ops = {.on_upsert = on_service,
                                            .on_delete = on_gone,
                                            .on_synced = on_services_synced,
                                            .on_error = on_services_error};
    const struct informer_options o = {.path = "/api/v1/services", .cache = true};
    n->services_informer = informer_start(n->client, &o, &ops, n);
}

/* ---- life ---- */

/* Without it pods still reach each other and Services: worth a warning, not the end. */
static void masquerade(const struct node_options *o)
{
    const struct prefix pods[2] = {o->pod_v4, o->pod_v6};
    struct prefix cluster[2] = {fabric_cluster_cidr(AF_INET), fabric_cluster_cidr(AF_INET6)};
    struct err err = {0};
    for (int i = 0; i < 2; i++)
        if (!prefix_contains(&cluster[i], &pods[i].ip))
            cluster[i] = pods[i]; /* not a lab of ours: other nodes' pods are not known here */
    if (node_masquerade_up(pods, cluster, &err) < 0)
        log_warn("pods cannot reach what is outside the cluster", kv_s("node", o->name),
                 kv_s("error", err_text(&err)));
}

int node_new(struct kube_client *client, const struct node_options *o, struct node **ret,
             struct err *reterr)
{
    struct node *n = NEW(struct node);
    AUTO_CHARS char *pods = xasprintf("%s/pods", o->state_dir);
    n->options = o;
    n->client = client;
    n->loop = kube_client_loop(client);
    n->pool = (struct pod_net_pool){.v4 = o->pod_v4, .v6 = o->pod_v6};
    struct err left = {0};
    n->trash = trash_new(n->loop, o->state_dir);
    trash_put(n->trash, pods); /* of a killed process */
    int r = directory_make(pods, 0700, reterr);
    /* Containers die with their node, but for programs that gained something by being executed. */
    if (fabric_pods_down(o->lab, o->name, &left) < 0)
        log_warn("leftovers of pods", kv_s("error", err_text(&left)));
    if (r == 0 && o->kubelet_cert.n)
        r = kubelet_server_new(n, &n->server, reterr);
    if (r < 0) {
        node_free(n);
        return r;
    }
    masquerade(o);
    if (o->image_dir)
        n->images = image_watch_new(n->loop, o->image_dir, o->images, on_images, n);
    n->host_ports = node_host_ports_new(n);
    n->events = event_recorder_new(client, "kubelet", o->name);
    n->lease_timer = loop_timer_new(n->loop, on_heartbeat, n);
    node_register(n);
    loop_timer_start(n->lease_timer, LEASE_RENEW_MS / 10);
    n->configs = config_watches_new(client);
    n->announce = node_announce_new(n);
    watch_services(n);
    watch_nodes(n);
    *ret = n;
    return 0;
}

void node_free(struct node *n)
{
    void *value;
    if (n->pods_informer)
        informer_free(n->pods_informer);
    informer_free(n->services_informer);
    informer_free(n->nodes_informer);
    node_announce_free(n->announce);
    node_host_ports_free(n->host_ports);
    n->host_ports = NULL;
    for (size_t at = 0; map_next(&n->pods, &at, NULL, &value);)
        pod_free(value);
    map_done(&n->pods);
    image_watch_free(n->images);
    trash_free(n->trash);
    kubelet_server_free(n->server);
    if (n->events)
        event_recorder_free(n->events);
    loop_timer_free(n->lease_timer);
    json_decref(n->lease);
    config_watches_free(n->configs);
    free(n);
}
