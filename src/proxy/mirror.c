/* Mirrors. The head is copied when the request goes out, into an arena of the copy's own; the body
 * is shared by reference as it passes. */
#include "proxy/mirror.h"

#include "base/rand.h"
#include "proxy/fetch.h"

enum { HEAD_BYTES = 256 * 1024 };

struct mirror {
    struct list_node node; /* in no list: still to go */
    struct mirrors *all;
    struct arena *arena;
    struct cluster *cluster;
    struct http_head head;
    struct chain body;
    struct fetch fetch;
};

struct mirror_plan {
    struct worker *worker;
    struct mirrors *all;
    struct chain body; /* of them all */
    size_t n;
    struct mirror *v[];
};

static void mirror_free(struct mirror *m)
{
    fetch_cancel(&m->fetch);
    list_remove(&m->node);
    chain_done(&m->body);
    arena_free(m->arena);
    free(m);
}

static void mirror_over(struct mirror *m)
{
    m->all->n--;
    m->all->bytes -= m->body.n;
    mirror_free(m);
}

static void on_answer(const struct http_head *answer, struct str body, void *user)
{
    (void)answer;
    (void)body;
    mirror_over(user);
}

static void end_all(struct mirrors *m)
{
    LIST_FOREACH_SAFE (node, &m->running)
        mirror_over(CONTAINER_OF(node, struct mirror, node));
}

/* Behind the name, before the port. */
static struct str shadow_host(struct str host, struct arena *a)
{
    static const struct str suffix = STR("-shadow");
    size_t name_n = host.n;
    while (name_n && host.p[name_n - 1] >= '0' && host.p[name_n - 1] <= '9')
        name_n--;
    name_n = name_n && host.p[name_n - 1] == ':' ? name_n - 1 : host.n;
    char *p = arena_alloc_raw(a, host.n + suffix.n);
    if (!p)
        return (struct str){NULL, 0};
    memcpy(p, host.p, name_n);
    memcpy(p + name_n, suffix.p, suffix.n);
    memcpy(p + name_n + suffix.n, host.p + name_n, host.n - name_n);
    return str_of(p, host.n + suffix.n);
}

/* The proxy stands for the client: what is behind it learns that. */
static bool tell_whom_from(struct mirror *m, const struct conn *client)
{
    static const struct header_name forwarded = {HTTP_NAME_X_FORWARDED_FOR, STR("x-forwarded-for")};
    static const struct header_name internal = {HTTP_NAME_X_ENVOY_INTERNAL,
                                                STR("x-envoy-internal")};
    struct ip ip;
    uint16_t port;
    char text[IP_TEXT_BYTES];
    bool done = true;
    if (!http_head_find(&m->head, HTTP_NAME_X_ENVOY_INTERNAL))
        done = head_add(&m->head, m->arena, internal, STR("true"));
    if (!client || conn_local_addr(client, &ip, &port) < 0)
        return done;
    struct http_field *f = head_find(&m->head, forwarded);
    struct str old = http_field_value(f), address = str_from(ip_format(&ip, text));
    char *p = arena_alloc_raw(m->arena, old.n + 1 + address.n);
    if (!p)
        return false;
    size_t n = 0;
    if (old.n) {
        memcpy(p, old.p, old.n);
        n = old.n;
        p[n++] = ',';
    }
    memcpy(p + n, address.p, address.n);
    n += address.n;
    if (!f)
        return done && head_add(&m->head, m->arena, forwarded, str_of(p, n));
    f->value = p;
    f->value_n = (uint32_t)n;
    return done;
}

static bool copy_head(struct mirror *m, const struct mirror_policy *p, const struct http_head *from,
                      const struct conn *client)
{
    struct arena *a = m->arena;
    struct http_head *h = &m->head;
    *h = (struct http_head){.minor = 1,
                            .content_length = from->content_length,
                            .chunked = from->chunked,
                            .has_host = true,
                            .method = arena_str(a, from->method),
                            .target = arena_str(a, from->target)};
    h->path = h->target;
    h->cap = (uint16_t)(from->n + 3);
    h->fields = arena_alloc_raw(a, h->cap * sizeof(*h->fields));
    bool ok = h->method.p && h->target.p && h->fields;
    for (uint16_t i = 0; i < from->n && ok; i++) {
        const struct http_field *f = &from->fields[i];
        if (!f->name_n)
            continue;
        struct str name = arena_str(a, str_of(f->name, f->name_n));
        struct str value = arena_str(a, http_field_value(f));
        ok = name.p && value.p;
        h->fields[h->n++] = (struct http_field){name.p, value.p, f->value_n, f->name_n, f->id};
    }
    struct http_field *host =
        ok ? head_find(h, (struct header_name){HTTP_NAME_HOST, STR("host")}) : NULL;
    if (host && (p->host.p || !p->keeps_host)) {
        struct str to = p->host.p ? arena_str(a, p->host) : shadow_host(http_field_value(host), a);
        ok = to.p;
        host->value = to.p;
        host->value_n = (uint32_t)to.n;
    }
    return ok && tell_whom_from(m, client);
}

static struct mirror *mirror_new(struct mirrors *all, struct cluster *c, uint64_t timeout_ms)
{
    struct mirror *m = NEW(struct mirror);
    m->all = all;
    m->arena = arena_new(HEAD_BYTES);
    m->cluster = c;
    m->fetch.head = &m->head;
    m->fetch.body = &m->body;
    m->fetch.timeout_ms = timeout_ms ? timeout_ms : MIRROR_TIMEOUT_MS;
    m->fetch.drops_answer = true;
    m->fetch.on_answer = on_answer;
    m->fetch.user = m;
    return m;
}

static struct cluster *cluster_of(const struct mirror_policy *p, const struct proxy_config *c,
                                  const struct http_head *head)
{
    struct str name = p->cluster;
    if (!name.n) {
        struct http_head h = *head;
        name = http_field_value(head_find(&h, p->header));
    }
    return name.n ? proxy_config_cluster(c, name) : NULL;
}

struct mirror_plan *mirror_plan_new(struct worker *w, const struct proxy_config *c,
                                    const struct route_forward *f,
                                    const struct mirror_policies *otherwise,
                                    const struct http_head *head, const struct conn *client,
                                    struct arena *a)
{
    const struct mirror_policies *policies = f->mirrors.n ? &f->mirrors : otherwise;
    struct mirrors *all = worker_mirrors(w);
    struct mirror_plan *plan = NULL;
    if (!all->end) {
        list_init(&all->running);
        all->end = end_all;
    }
    for (size_t i = 0; i < policies->n; i++) {
        const struct mirror_policy *p = &policies->v[i];
        if (!fraction_hits(p->fraction, rand_u64(), true))
            continue;
        if (!plan)
            plan = arena_alloc(a, sizeof(*plan) + policies->n * sizeof(plan->v[0]));
        struct cluster *cluster = cluster_of(p, c, head);
        if (!plan || !cluster || all->n + plan->n >= MIRRORS_MAX) {
            all->dropped++;
            continue;
        }
        plan->worker = w;
        plan->all = all;
        struct mirror *m = mirror_new(all, cluster, f->timeout_ms);
        if (copy_head(m, p, head, client)) {
            plan->v[plan->n++] = m;
            continue;
        }
        all->dropped++;
        mirror_free(m);
    }
    return plan && plan->n ? plan : NULL;
}

void mirror_plan_keep(struct mirror_plan *p, const struct chain *data)
{
    if (!p->n)
        return;
    if (p->body.n + data->n > MIRROR_BODY_MAX) {
        p->all->dropped += p->n;
        mirror_plan_done(p);
        return;
    }
    chain_share(&p->body, data, data->n);
}

static void go(struct mirror_plan *p, struct mirror *m)
{
    struct mirrors *all = p->all;
    if (all->n >= MIRRORS_MAX || all->bytes + p->body.n > MIRRORS_BYTES_MAX) {
        all->dropped++;
        mirror_free(m);
        return;
    }
    chain_share(&m->body, &p->body, p->body.n);
    if (m->body.n || m->head.chunked)
        m->head.content_length = (int64_t)m->body.n;
    m->head.chunked = false;
    if (fetch_start(&m->fetch, p->worker, m->cluster) < 0) {
        all->dropped++;
        mirror_free(m);
        return;
    }
    all->n++;
    all->bytes += m->body.n;
    list_add_tail(&all->running, &m->node);
}

void mirror_plan_go(struct mirror_plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        go(p, p->v[i]);
    p->n = 0;
    chain_done(&p->body);
}

void mirror_plan_done(struct mirror_plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        mirror_free(p->v[i]);
    p->n = 0;
    chain_done(&p->body);
}
