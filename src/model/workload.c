#include "model/workload.h"

#include "base/buf.h"
#include "model/locality.h"

struct workloads *workloads_new(workload_fn *on_change, void *user)
{
    struct workloads *w = NEW(struct workloads);
    w->by_key.borrows = true;
    w->on_change = on_change;
    w->user = user;
    return w;
}

static void workload_free(struct workloads *w, struct workload *p)
{
    intern_unref(&w->texts, p->labels);
    intern_unref(&w->texts, p->account);
    intern_unref(&w->texts, p->owner);
    intern_unref(&w->texts, p->node);
    intern_unref(&w->texts, p->place);
    free(p);
}

void workloads_free(struct workloads *w)
{
    void *p;
    if (!w)
        return;
    for (size_t at = 0; map_next(&w->by_key, &at, NULL, &p);)
        workload_free(w, p);
    map_done(&w->by_key);
    map_done(&w->by_ip);
    for (size_t at = 0; map_next(&w->nodes, &at, NULL, &p);)
        free(p);
    map_done(&w->nodes);
    intern_done(&w->texts);
    free(w);
}

/* ---- reading a pod ---- */

static bool is_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

/* A CronJob's Jobs end in the minute they are for. */
static struct str without_minute(struct str job)
{
    enum { DIGITS_MIN = 8, DIGITS_MAX = 10 };
    size_t at = job.n;
    while (at > 0 && job.p[at - 1] != '-')
        at--;
    size_t digits = job.n - at;
    bool made = at > 1 && digits >= DIGITS_MIN && digits <= DIGITS_MAX &&
                is_digits(str_sub(job, at, job.n));
    return made ? str_sub(job, 0, at - 1) : job;
}

char *workload_owner_of(const json_t *pod)
{
    const json_t *owner = json_array_get(json_at(pod, "metadata.ownerReferences"), 0);
    const char *name = json_key_str(owner, "name"), *kind = json_key_str(owner, "kind"),
               *hash = json_key_str(json_at(pod, "metadata.labels"), "pod-template-hash");
    if (!name)
        return NULL;
    AUTO_CHARS char *end = hash ? xasprintf("-%s", hash) : NULL;
    struct str text = str_from(name);
    if (end && str_ends(text, str_from(end)))
        text = str_sub(text, 0, text.n - strlen(end));
    else if (kind && streq(kind, "Job"))
        text = without_minute(text);
    return str_dup(text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "key\0value\0" of each, by key. */
static void pack_labels(const json_t *labels, struct buf *ret)
{
    VEC(const char *) keys = {0};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value) if (json_is_string(value))
        vec_push(&keys, key);
    if (keys.n)
        qsort(keys.v, keys.n, sizeof(*keys.v), by_text);
    VEC_FOREACH (k, &keys) {
        buf_add(ret, *k, strlen(*k) + 1);
        const char *text = json_key_str(labels, *k);
        buf_add(ret, text, strlen(text) + 1);
    }
    vec_done(&keys);
}

static void add_ip(struct workload *p, const char *text)
{
    struct ip ip;
    if (text && p->n_ips < WORKLOAD_IPS_MAX && ip_parse(str_from(text), &ip) == 0 &&
        !workload_has_ip(p, &ip))
        p->ips[p->n_ips++] = ip;
}

static void read_ips(struct workload *p, const json_t *pod)
{
    const json_t *ips = json_at(pod, "status.podIPs");
    for (size_t i = 0; i < json_array_size(ips); i++)
        add_ip(p, json_key_str(json_array_get(ips, i), "ip"));
    add_ip(p, json_key_str(json_at(pod, "status"), "podIP"));
}

/* What is said of it where it stands, else by a label. */
static char *read_place(const json_t *pod)
{
    const char *own = json_key_str(pod, "locality"),
               *label = json_key_str(json_at(pod, "metadata.labels"), "istio-locality");
    return !str_empty(own) ? xstrdup(own) : locality_of_label(label ? label : "");
}

static struct workload *read_pod(struct workloads *w, const json_t *pod, const char *key)
{
    struct workload *p = xcalloc(1, sizeof(*p) + strlen(key) + 1);
    AUTO_DONE(buf) struct buf labels = {0};
    AUTO_CHARS char *owner = workload_owner_of(pod);
    const json_t *spec = json_at(pod, "spec");
    const char *account = json_key_str(spec, "serviceAccountName");
    strcpy(p->key, key);
    read_ips(p, pod);
    pack_labels(json_at(pod, "metadata.labels"), &labels);
    p->labels = intern_ref(&w->texts, buf_str(&labels));
    p->account = intern_ref(&w->texts, str_from(account && *account ? account : "default"));
    p->owner = intern_ref(&w->texts, owner ? str_from(owner) : STR(""));
    const char *node = json_key_str(spec, "nodeName");
    AUTO_CHARS char *place = read_place(pod);
    p->node = intern_ref(&w->texts, str_from(node ? node : ""));
    p->place = intern_ref(&w->texts, str_from(place));
    p->host_network = json_is_true(json_object_get(spec, "hostNetwork"));
    p->ending = json_key_str(json_at(pod, "metadata"), "deletionTimestamp") != NULL;
    p->entry = json_object_get(pod, "entry") != NULL;
    p->weight = (uint32_t)json_at_int(pod, "weight", 0);
    return p;
}

static bool is_same(const struct workload *a, const struct workload *b)
{
    bool same = a->labels == b->labels && a->account == b->account && a->owner == b->owner &&
                a->node == b->node && a->place == b->place && a->host_network == b->host_network &&
                a->ending == b->ending && a->entry == b->entry && a->weight == b->weight &&
                a->n_ips == b->n_ips;
    for (uint8_t i = 0; same && i < a->n_ips; i++)
        same = ip_eq(&a->ips[i], &b->ips[i]);
    return same;
}

/* ---- the index of addresses ---- */

static struct str ip_key(const struct ip *ip)
{
    return str_of(ip->bytes, ip_bytes(ip));
}

static struct workload **twin_of(struct workload *p, const struct ip *ip)
{
    return &p->twins[ip_eq(&p->ips[0], ip) ? 0 : 1];
}

static void link_ips(struct workloads *w, struct workload *p)
{
    for (uint8_t i = 0; i < p->n_ips; i++)
        p->twins[i] = map_put(&w->by_ip, ip_key(&p->ips[i]), p);
}

static void unlink_ips(struct workloads *w, struct workload *p)
{
    for (uint8_t i = 0; i < p->n_ips; i++) {
        const struct ip *ip = &p->ips[i];
        struct workload *first = map_find(&w->by_ip, ip_key(ip)), *before = first;
        if (first == p && p->twins[i])
            map_put(&w->by_ip, ip_key(ip), p->twins[i]);
        else if (first == p)
            map_remove(&w->by_ip, ip_key(ip));
        while (first != p && *twin_of(before, ip) != p)
            before = *twin_of(before, ip);
        if (first != p)
            *twin_of(before, ip) = p->twins[i];
    }
}

/* ---- what comes and goes ---- */

static void tell(struct workloads *w, const struct workload *p)
{
    if (w->on_change)
        w->on_change(p, w->user);
}

static void forget(struct workloads *w, struct workload *p)
{
    map_remove_cstr(&w->by_key, p->key);
    unlink_ips(w, p);
    tell(w, p);
    workload_free(w, p);
}

void workloads_put(struct workloads *w, const json_t *pod)
{
    const json_t *metadata = json_at(pod, "metadata");
    const char *name = json_key_str(metadata, "name"), *ns = json_key_str(metadata, "namespace");
    if (!name || !ns)
        return;
    AUTO_CHARS char *key = xasprintf("%s/%s", ns, name);
    struct workload *before = map_find_cstr(&w->by_key, key), *now = read_pod(w, pod, key);
    if (before && is_same(before, now)) {
        workload_free(w, now);
        return;
    }
    if (before)
        forget(w, before);
    map_put_cstr(&w->by_key, now->key, now);
    link_ips(w, now);
    tell(w, now);
}

void workloads_remove(struct workloads *w, struct str key)
{
    struct workload *p = map_find(&w->by_key, key);
    if (p)
        forget(w, p);
}

/* ---- nodes ---- */

static void tell_node(struct workloads *w, struct str name)
{
    VEC(const struct workload *) on_it = {0};
    void *p;
    for (size_t at = 0; map_next(&w->by_key, &at, NULL, &p);)
        if (str_eq(intern_get(&w->texts, ((const struct workload *)p)->node), name))
            vec_push(&on_it, p);
    VEC_FOREACH (one, &on_it)
        tell(w, *one);
    vec_done(&on_it);
}

void workloads_put_node(struct workloads *w, const json_t *node)
{
    static const char *const labels[][2] = {
        {"topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"},
        {"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"},
        {"topology.istio.io/subzone", "topology.istio.io/subzone"}};
    const json_t *all = json_at(node, "metadata.labels");
    const char *name = json_key_str(json_at(node, "metadata"), "name");
    AUTO_DONE(buf) struct buf where = {0};
    for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
        const char *value = json_key_str(all, labels[i][0]) ?: json_key_str(all, labels[i][1]);
        buf_addf(&where, "%s%s", i ? "/" : "", value ? value : "");
    }
    while (where.n && where.p[where.n - 1] == '/') /* what is not said is not there */
        where.n--;
    const char *before = name ? map_find_cstr(&w->nodes, name) : NULL;
    if (!name || (before ? str_is(buf_str(&where), before) : !where.n))
        return;
    free(map_put_cstr(&w->nodes, name, str_dup(buf_str(&where))));
    tell_node(w, str_from(name));
}

void workloads_remove_node(struct workloads *w, struct str name)
{
    char *before = map_remove(&w->nodes, name);
    if (before)
        tell_node(w, name);
    free(before);
}

/* ---- questions ---- */

struct str workload_node(const struct workloads *w, const struct workload *p)
{
    return intern_get(&w->texts, p->node);
}

struct str workload_locality(const struct workloads *w, const struct workload *p)
{
    struct str own = intern_get(&w->texts, p->place), node = workload_node(w, p);
    const char *of_node = node.n && !own.n ? map_find(&w->nodes, node) : NULL;
    return own.n ? own : str_from(of_node ? of_node : "");
}

const struct workload *workloads_find(const struct workloads *w, struct str key)
{
    return map_find(&w->by_key, key);
}

static int rank(const struct workload *p)
{
    return (p->entry ? 4 : 0) + (p->host_network ? 2 : 0) + (p->ending ? 1 : 0);
}

const struct workload *workloads_find_ip(const struct workloads *w, struct str ns,
                                         const struct ip *ip)
{
    const struct workload *best = NULL;
    for (struct workload *p = map_find(&w->by_ip, ip_key(ip)); p; p = *twin_of(p, ip)) {
        if (ns.p && !str_eq(workload_namespace(p), ns))
            continue;
        int d = best ? rank(p) - rank(best) : -1;
        if (d < 0 || (d == 0 && strcmp(p->key, best->key) < 0))
            best = p;
    }
    return best;
}

bool workload_has_ip(const struct workload *p, const struct ip *ip)
{
    for (uint8_t i = 0; i < p->n_ips; i++)
        if (ip_eq(&p->ips[i], ip))
            return true;
    return false;
}

struct str workload_namespace(const struct workload *p)
{
    struct str name;
    return str_cut(str_from(p->key), '/', &name);
}

struct str workload_account(const struct workloads *w, const struct workload *p)
{
    return intern_get(&w->texts, p->account);
}

struct str workload_owner(const struct workloads *w, const struct workload *p)
{
    struct str name, owner = intern_get(&w->texts, p->owner);
    str_cut(str_from(p->key), '/', &name);
    return owner.n ? owner : name;
}

const char *workload_label(const struct workloads *w, const struct workload *p, const char *key)
{
    struct str all = intern_get(&w->texts, p->labels);
    for (const char *at = all.p, *end = all.p + all.n; at < end;) {
        const char *value = at + strlen(at) + 1;
        if (streq(at, key))
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

bool workload_has_labels(const struct workloads *w, const struct workload *p, const json_t *labels)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        const char *has = workload_label(w, p, key), *want = json_string_value(value);
        if (!has || !want || !streq(has, want))
            return false;
    }
    return true;
}

/* The first of these labels that it has. */
static struct str first_label(const struct workloads *w, const struct workload *p,
                              const char *const keys[], size_t n, struct str otherwise)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = workload_label(w, p, keys[i]);
        if (!str_empty(value))
            return str_from(value);
    }
    return otherwise;
}

struct str workload_canonical_name(const struct workloads *w, const struct workload *p)
{
    static const char *const keys[] = {"service.istio.io/canonical-name", "app.kubernetes.io/name",
                                       "app"};
    return first_label(w, p, keys, ARRAY_LEN(keys), workload_owner(w, p));
}

struct str workload_canonical_revision(const struct workloads *w, const struct workload *p)
{
    static const char *const keys[] = {"service.istio.io/canonical-revision",
                                       "app.kubernetes.io/version", "version"};
    return first_label(w, p, keys, ARRAY_LEN(keys), STR("latest"));
}

bool workloads_next(const struct workloads *w, size_t *at, const struct workload **ret)
{
    void *value;
    if (!map_next(&w->by_key, at, NULL, &value))
        return false;
    *ret = value;
    return true;
}
