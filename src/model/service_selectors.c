/* Of each Service with a selector what it selects and where its ports lead is kept as one text:
 * there are many, and most select no entry ever. Pure; one thread. */
#include "model/service_selectors.h"

#include "base/vec.h"

struct selecting {
    VEC(char *) slices; /* keys, in the join */
    uint16_t n_labels, n_ports;
    char text[]; /* of each label: key, value; of each port: struct target, name, name of target */
};

/* Before the two names of a port; copied, for it may stand anywhere. */
struct target {
    uint16_t port;   /* of the Service */
    uint16_t number; /* 0: it is named */
};

struct service_selectors {
    struct service_join *join;
    struct workloads *pods;
    struct map services; /* key -> struct selecting */
    struct map dirty;    /* keys */
};

static const char *after(const char *text)
{
    return text + strlen(text) + 1;
}

/* ---- what is kept of a Service ---- */

static void add_text(struct buf *to, const char *text)
{
    buf_add(to, text, strlen(text) + 1);
}

static bool add_port(struct buf *to, const json_t *port)
{
    const json_t *of = json_object_get(port, "targetPort");
    const char *name = json_key_str(port, "name"), *named = json_string_value(of),
               *protocol = json_key_str(port, "protocol");
    int64_t number = json_integer_value(json_object_get(port, "port")),
            target = json_is_integer(of) ? json_integer_value(of) : 0;
    if (number < 1 || number > 65535 || target < 0 || target > 65535 ||
        (protocol && !streq(protocol, "TCP")))
        return false;
    if (!target && str_empty(named))
        target = number;
    const struct target t = {(uint16_t)number, (uint16_t)target};
    buf_add(to, &t, sizeof(t));
    add_text(to, name ? name : "");
    add_text(to, target ? "" : named);
    return true;
}

/* NULL: it selects nothing. */
static struct selecting *read_service(const json_t *service)
{
    const json_t *selector = json_at(service, "spec.selector"),
                 *ports = json_at(service, "spec.ports"), *port;
    const char *ip = json_at_str(service, "spec.clusterIP"), *key,
               *type = json_at_str(service, "spec.type");
    AUTO_DONE(buf) struct buf text = {0};
    uint16_t n_labels = 0, n_ports = 0;
    json_t *value;
    size_t i;
    if (!json_object_size(selector) || (ip && streq(ip, "None")) ||
        (type && streq(type, "ExternalName")))
        return NULL;
    json_object_foreach((json_t *)(uintptr_t)selector, key, value) if (n_labels < UINT16_MAX)
    {
        add_text(&text, key);
        add_text(&text, json_is_string(value) ? json_string_value(value) : "");
        n_labels++;
    }
    json_array_foreach((json_t *)(uintptr_t)ports, i, port) if (n_ports < UINT16_MAX) n_ports =
        (uint16_t)(n_ports + add_port(&text, port));
    struct selecting *s = xcalloc(1, sizeof(*s) + text.n);
    s->n_labels = n_labels;
    s->n_ports = n_ports;
    memcpy(s->text, text.p, text.n);
    return s;
}

static bool selects(const struct service_selectors *t, struct str key, const struct selecting *s,
                    const struct workload *w)
{
    struct str name, ns = str_cut(key, '/', &name);
    const char *at = s->text;
    if (!str_eq(workload_namespace(w), ns))
        return false;
    for (uint16_t i = 0; i < s->n_labels; i++) {
        const char *has = workload_label(t->pods, w, at), *wanted = after(at);
        if (!has || !streq(has, wanted))
            return false;
        at = after(wanted);
    }
    return true;
}

/* ---- slices ---- */

uint16_t service_selectors_target(const json_t *spec, const char *port, const char *target,
                                  uint16_t number)
{
    const json_t *said = json_object_get(json_object_get(spec, "ports"), number ? port : target);
    int64_t n = json_integer_value(said);
    return n >= 1 && n <= 65535 ? (uint16_t)n : number;
}

static json_t *ports_of(const struct selecting *s, const json_t *spec)
{
    json_t *ports = json_array();
    const char *at = s->text;
    for (uint16_t i = 0; i < s->n_labels; i++)
        at = after(after(at));
    for (uint16_t i = 0; i < s->n_ports; i++) {
        struct target t;
        memcpy(&t, at, sizeof(t));
        const char *name = at + sizeof(t), *target = after(name);
        uint16_t number = service_selectors_target(spec, name, target, t.number);
        if (number)
            json_array_append_new(ports, json_pack("{s:s,s:i,s:s}", "name", name, "port",
                                                   (int)number, "protocol", "TCP"));
        at = after(target);
    }
    return ports;
}

static json_t *slice_for(json_t *list, struct str key, const struct ip *ip, json_t *ports)
{
    struct str service, ns = str_cut(key, '/', &service);
    const char *family = ip->family == AF_INET6 ? "IPv6" : "IPv4";
    json_t *slice;
    size_t i;
    json_array_foreach(list, i,
                       slice) if (streq(json_key_str(slice, "addressType"), family) &&
                                  json_equal(json_object_get(slice, "ports"), ports)) return slice;
    AUTO_CHARS char *name = xasprintf(".we/" STR_FMT "/%zu", STR_ARG(service), i);
    slice = json_pack("{s:{s:s%,s:s,s:{s:s%}},s:s,s:O,s:[]}", "metadata", "namespace", ns.p, ns.n,
                      "name", name, "labels", "kubernetes.io/service-name", service.p, service.n,
                      "addressType", family, "ports", ports, "endpoints");
    json_array_append_new(list, slice);
    return slice;
}

static void add_entry(const struct service_selectors *t, json_t *list, struct str key,
                      const struct selecting *s, const struct workload_entry *e)
{
    AUTO_CHARS char *of = xasprintf("%s/.we/%s", e->o.ns, e->o.name);
    const struct workload *w = workloads_find(t->pods, str_from(of));
    char text[IP_TEXT_BYTES];
    if (!w || w->ending || !w->n_ips || !selects(t, key, s, w))
        return;
    AUTO_JSON json_t *ports = ports_of(s, e->o.spec);
    if (json_array_size(ports))
        json_array_append_new(json_object_get(slice_for(list, key, &w->ips[0], ports), "endpoints"),
                              json_pack("{s:[s]}", "addresses", ip_format(&w->ips[0], text)));
}

static bool take_slices(struct service_selectors *t, struct selecting *s)
{
    bool any = s->slices.n > 0;
    VEC_FOREACH (key, &s->slices) {
        service_join_remove_slice(t->join, str_from(*key));
        free(*key);
    }
    vec_clear(&s->slices);
    return any;
}

static bool put_slices(struct service_selectors *t, struct str key, struct selecting *s,
                       const struct map *entries)
{
    const struct slice_decoding decoding = {.topologies = &t->join->topologies};
    AUTO_JSON json_t *list = json_array();
    json_t *j;
    size_t i;
    void *p;
    for (size_t at = 0; map_next(entries, &at, NULL, &p);)
        add_entry(t, list, key, s, p);
    json_array_foreach(list, i, j)
    {
        struct slice_object *slice = slice_object_decode(j, &decoding);
        vec_push(&s->slices, xstrdup(slice->key));
        service_join_add_slice(t->join, &slice);
    }
    return json_array_size(list) > 0;
}

bool service_selectors_settle(struct service_selectors *t, const struct map *entries)
{
    struct str key;
    bool any = false;
    for (size_t at = 0; map_next(&t->dirty, &at, &key, NULL);) {
        struct selecting *s = map_find(&t->services, key);
        any = take_slices(t, s) || any;
        any = put_slices(t, key, s, entries) || any;
    }
    map_done(&t->dirty);
    return any;
}

/* ---- what changes ---- */

static void forget(struct service_selectors *t, struct selecting *s)
{
    take_slices(t, s);
    vec_done(&s->slices);
    free(s);
}

void service_selectors_put(struct service_selectors *t, const json_t *service)
{
    struct selecting *s = read_service(service);
    AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(service, "metadata.namespace"),
                                     json_at_str(service, "metadata.name"));
    if (!s) {
        service_selectors_remove(t, str_from(key));
        return;
    }
    struct selecting *before = map_put_cstr(&t->services, key, s);
    if (before) {
        s->slices.v = before->slices.v;
        s->slices.n = before->slices.n;
        s->slices.cap = before->slices.cap;
        free(before);
    }
    map_put_cstr(&t->dirty, key, t);
}

void service_selectors_remove(struct service_selectors *t, struct str key)
{
    struct selecting *s = map_remove(&t->services, key);
    map_remove(&t->dirty, key);
    if (s)
        forget(t, s);
}

bool service_selectors_entry_changed(struct service_selectors *t, const struct workload *w)
{
    struct str key;
    bool any = false;
    void *p;
    for (size_t at = 0; map_next(&t->services, &at, &key, &p);)
        if (selects(t, key, p, w)) {
            map_put(&t->dirty, key, t);
            any = true;
        }
    return any;
}

void service_selectors_all_changed(struct service_selectors *t)
{
    struct str key;
    for (size_t at = 0; map_next(&t->services, &at, &key, NULL);)
        map_put(&t->dirty, key, t);
}

/* ---- the whole ---- */

struct service_selectors *service_selectors_new(struct service_join *join, struct workloads *pods)
{
    struct service_selectors *t = NEW(struct service_selectors);
    t->join = join;
    t->pods = pods;
    return t;
}

void service_selectors_free(struct service_selectors *t)
{
    void *p;
    if (!t)
        return;
    for (size_t at = 0; map_next(&t->services, &at, NULL, &p);) {
        struct selecting *s = p;
        VEC_FOREACH (key, &s->slices)
            free(*key);
        vec_done(&s->slices);
        free(s);
    }
    map_done(&t->services);
    map_done(&t->dirty);
    free(t);
}
