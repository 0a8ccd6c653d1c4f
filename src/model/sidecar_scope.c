#include "model/sidecar_scope.h"

#include <ctype.h>
#include <netinet/in.h>

#include "model/service_entry.h"

/* ---- what is known ---- */

/* "NAMESPACE/NAME" */
static bool read_host(struct object_reader *r, const char *text, struct scope_host *ret)
{
    struct str name, ns = str_cut(str_from(text), '/', &name);
    AUTO_CHARS char *host = str_dup(name);
    for (char *p = host; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (!ns.n || !name.n || !(streq(host, "*") || istio_host_is_valid(host)))
        return reader_error(r, NULL, "write */*, ./*, ~/*, prod/* or */name.example",
                            "\"%.100s\" is not NAMESPACE/NAME", text);
    if (!streq(host, "*") && !strchr(host, '.'))
        return reader_error(r, NULL, "write it in full: web.ns.svc.cluster.local",
                            "\"%.100s\": a name without a dot is nobody's", text);
    if (str_is(ns, "~"))
        return false; /* of nobody */
    *ret = (struct scope_host){str_dup(ns), TAKE(host)};
    return true;
}

static void read_hosts(struct object_reader *r, struct sidecar_scope *s, const json_t *egress)
{
    const json_t *list = json_object_get(egress, "hosts"), *one;
    size_t i;
    if (!json_array_size(list))
        reader_error(r, "hosts", "write */* for all", "is missing: nobody is known by it");
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        const char *text = json_string_value(one);
        size_t mark = reader_enter_item(r, "hosts", i);
        if (s->n_hosts == SIDECAR_HOSTS_MAX)
            reader_error(r, NULL, "write asterisks", "is one of more than %d", SIDECAR_HOSTS_MAX);
        else if (read_host(r, text ? text : "", &s->hosts[s->n_hosts]))
            s->n_hosts++;
        reader_leave(r, mark);
    }
}

static void read_egress(struct object_reader *r, struct sidecar_scope *s)
{
    const json_t *list = json_object_get(s->o.spec, "egress"), *one;
    size_t i;
    s->sees_all = !json_array_size(list);
    s->hosts = xcalloc(SIDECAR_HOSTS_MAX, sizeof(*s->hosts));
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        size_t mark = reader_enter_item(r, "egress", i);
        const char *mode = json_key_str(one, "captureMode"), *bind = json_key_str(one, "bind");
        if (json_object_get(one, "port"))
            reader_warn(r, "port", "leave it out",
                        "has no effect yet: its hosts are known at all of their ports");
        if (!str_empty(bind) || streq(mode, "NONE"))
            reader_warn(r, bind ? "bind" : "captureMode", "leave it out",
                        "has no effect yet: calls are intercepted");
        read_hosts(r, s, one);
        reader_leave(r, mark);
    }
}

bool sidecar_scope_sees(const struct sidecar_scope *s, struct str own, struct str ns,
                        const char *host)
{
    if (s->sees_all)
        return true;
    for (size_t i = 0; i < s->n_hosts; i++) {
        const struct scope_host *h = &s->hosts[i];
        bool of = streq(h->ns, "*") || (streq(h->ns, ".") ? str_eq(own, ns) : str_is(ns, h->ns));
        if (of && (streq(h->name, "*") || istio_host_covers(h->name, host)))
            return true;
    }
    return false;
}

/* ---- what is taken in ---- */

static bool read_default(struct object_reader *r, const char *text, struct scope_ingress *to)
{
    struct str port, host = str_cut(str_from(text), ':', &port);
    uint64_t n;
    if (str_starts(str_from(text), STR("unix:")))
        return reader_error(r, "defaultEndpoint", "write 127.0.0.1:8080",
                            "sockets of files are not done");
    if ((!str_is(host, "127.0.0.1") && !str_is(host, "0.0.0.0")) || str_to_u64(port, &n) < 0 ||
        n < 1 || n > 65535)
        return reader_error(r, "defaultEndpoint", "write 127.0.0.1:8080 or 0.0.0.0:8080",
                            "\"%.100s\" is not where an app can be", text);
    to->target = (uint16_t)n;
    to->loopback = str_is(host, "127.0.0.1");
    return true;
}

static bool read_one_ingress(struct object_reader *r, const json_t *j, struct scope_ingress *to)
{
    const json_t *port = json_object_get(j, "port");
    const char *word = json_key_str(port, "protocol"), *at = json_key_str(j, "defaultEndpoint");
    const char *app_protocol = NULL;
    int64_t number = 0;
    size_t mark = reader_enter(r, "port");
    bool ok = reader_number(r, port, "number", 1, 65535, &number);
    if (ok && !number)
        ok = reader_error(r, "number", NULL, "is missing");
    if (!str_empty(word) && !service_entry_protocol(word, &app_protocol))
        ok = reader_error(r, "protocol", "write HTTP, HTTPS, GRPC, HTTP2, TCP or TLS",
                          "\"%.40s\" is none that is known", word);
    reader_leave(r, mark);
    const char *name = json_key_str(port, "name");
    const struct service_port of = {.port = (uint16_t)number,
                                    .proto = IPPROTO_TCP,
                                    .name = (char *)(uintptr_t)(name ? name : ""),
                                    .app_protocol = (char *)(uintptr_t)app_protocol};
    *to = (struct scope_ingress){
        .port = (uint16_t)number, .protocol = port_protocol(&of), .target = (uint16_t)number};
    if (json_object_get(j, "tls"))
        ok = reader_error(r, "tls", "leave it out", "is not done: the mesh has its own TLS");
    if (streq(json_key_str(j, "captureMode"), "NONE"))
        reader_warn(r, "captureMode", "leave it out", "has no effect: calls are intercepted");
    if (json_object_get(j, "connectionPool"))
        reader_warn(r, "connectionPool", NULL, "has no effect yet");
    return (str_empty(at) || read_default(r, at, to)) && ok;
}

static void read_ingress(struct object_reader *r, struct sidecar_scope *s)
{
    const json_t *list = json_object_get(s->o.spec, "ingress"), *one;
    size_t i, n = MIN(json_array_size(list), (size_t)SIDECAR_INGRESS_MAX);
    s->ingress = xcalloc(n + 1, sizeof(*s->ingress));
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        size_t mark = reader_enter_item(r, "ingress", i);
        struct scope_ingress *to = &s->ingress[s->n_ingress];
        bool ok = s->n_ingress < n;
        if (!ok)
            reader_error(r, NULL, NULL, "is one of more than %d", SIDECAR_INGRESS_MAX);
        ok = ok && read_one_ingress(r, one, to);
        for (size_t k = 0; ok && k < s->n_ingress; k++)
            if (s->ingress[k].port == to->port)
                ok = reader_error(r, "port.number", NULL, "%u is there twice", to->port);
        s->n_ingress += ok;
        reader_leave(r, mark);
    }
}

/* ---- the whole ---- */

static void read_outbound(struct object_reader *r, struct sidecar_scope *s)
{
    const json_t *policy = json_object_get(s->o.spec, "outboundTrafficPolicy");
    const char *mode = json_key_str(policy, "mode");
    size_t mark = reader_enter(r, "outboundTrafficPolicy");
    if (policy && (!mode || streq(mode, "REGISTRY_ONLY"))) /* its first value, when it is there */
        s->outbound = OUTBOUND_REGISTRY_ONLY;
    else if (streq(mode, "ALLOW_ANY"))
        s->outbound = OUTBOUND_ALLOW_ANY;
    else if (policy)
        reader_error(r, "mode", "write ALLOW_ANY or REGISTRY_ONLY", "%.40s is no policy", mode);
    if (json_object_get(policy, "egressProxy"))
        reader_warn(r, "egressProxy", "route there by a VirtualService", "has no effect yet");
    reader_leave(r, mark);
}

struct sidecar_scope *sidecar_scope_decode(const json_t *j)
{
    struct sidecar_scope *s = NEW(struct sidecar_scope);
    s->refs = 1;
    if (!istio_object_decode(j, &s->o)) {
        sidecar_scope_unref(s);
        return NULL;
    }
    AUTO_DONE(object_reader)
    struct object_reader r = {
        .findings = &s->o.findings, .object = s->o.key, .id = "SidecarInvalid"};
    size_t mark = reader_enter(&r, "spec");
    const json_t *labels = json_at(s->o.spec, "workloadSelector.labels");
    s->labels = json_object_size(labels) ? labels : NULL;
    read_egress(&r, s);
    read_ingress(&r, s);
    read_outbound(&r, s);
    if (json_object_get(s->o.spec, "inboundConnectionPool"))
        reader_warn(&r, "inboundConnectionPool", NULL, "has no effect yet");
    reader_leave(&r, mark);
    s->broken = r.errors > 0;
    return s;
}

struct sidecar_scope *sidecar_scope_ref(const struct sidecar_scope *s)
{
    struct sidecar_scope *own = (struct sidecar_scope *)(uintptr_t)s;
    own->refs++;
    return own;
}

void sidecar_scope_unref(struct sidecar_scope *s)
{
    if (!s || --s->refs)
        return;
    for (size_t i = 0; i < s->n_hosts; i++) {
        free((char *)(uintptr_t)s->hosts[i].ns);
        free(s->hosts[i].name);
    }
    free(s->hosts);
    free(s->ingress);
    istio_object_done(&s->o);
    free(s);
}

/* ---- the table ---- */

static struct selected decode_selected(const json_t *j)
{
    struct sidecar_scope *s = sidecar_scope_decode(j);
    return s ? (struct selected){s, &s->o, s->labels, false, s->broken}
             : (struct selected){.object = NULL};
}

static void free_selected(void *object)
{
    sidecar_scope_unref(object);
}

struct selected_objects *sidecar_scopes_new(const char *root_namespace)
{
    static const struct selected_kind kind = {decode_selected, free_selected};
    return selected_objects_new(&kind, root_namespace);
}

struct search {
    struct str ns;
    const struct sidecar_scope *best;
    int rank;
};

static void add(const void *object, void *user)
{
    struct search *f = user;
    const struct sidecar_scope *s = object;
    bool own = str_is(f->ns, s->o.ns);
    if (!own && s->labels) /* of the root namespace: for all, or for its own pods */
        return;
    int rank = own ? s->labels ? 3 : 2 : 1;
    if (rank > f->rank || (rank == f->rank && istio_object_compare(&s->o, &f->best->o) < 0)) {
        f->best = s;
        f->rank = rank;
    }
}

const struct sidecar_scope *sidecar_scopes_find(const struct selected_objects *t, struct str ns,
                                                const struct workloads *pods,
                                                const struct workload *pod)
{
    struct search f = {.ns = ns};
    selected_objects_find(t, ns, pods, pod, add, &f);
    return f.best;
}
