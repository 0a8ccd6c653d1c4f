/* The fake backend: keeps what it was told, for tests of what stands above. Same table, no kernel.
 * One lock around everything, since tests look from their own thread. Also the words of
 * reasons.def, and those for what others do. */
#include "dataplane/fake.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "dataplane/frontend_table.h"

struct fake {
    struct dataplane base;
    pthread_mutex_t lock;
    pthread_cond_t let_go;
    struct frontend_table table;
    VEC(struct ip) lists[_DATAPLANE_LIST_MAX]; /* sorted */
    struct dataplane_counters counters;
    bool held, broken;
    unsigned fail, settles;
    bool tampered;
    int bell;
    struct buf networks; /* as text */
};

static struct fake *of(const struct dataplane *d)
{
    return CONTAINER_OF((struct dataplane *)(uintptr_t)d, struct fake, base);
}

const char *dataplane_reason_word(enum dataplane_reason r)
{
    static const char *const words[] = {
#define REASON(name, word, sentence) [DATAPLANE_##name] = word,
#include "dataplane/reasons.def"
#undef REASON
    };
    return words[r];
}

const char *const dataplane_foreign_words[DATAPLANE_FOREIGN_KINDS] = {"table", "chain", "rule",
                                                                      "set", "element"};

static void on_index(uint32_t index, const struct dataplane_endpoint *old_,
                     const struct dataplane_endpoint *new_, void *user)
{
    struct dataplane_counters *c = user;
    (void)index;
    c->elements_removed += old_ != NULL;
    c->elements_added += new_ != NULL;
}

static void on_source(bool add, const struct prefix *p, void *user)
{
    struct dataplane_counters *c = user;
    (void)p;
    *(add ? &c->elements_added : &c->elements_removed) += 1;
}

static void change_frontend(struct fake *f, const struct frontend *fe)
{
    if (fe->removed) {
        frontend_table_remove(&f->table, &fe->key);
        return;
    }
    struct frontend_state *s = frontend_table_get(&f->table, &fe->key);
    s->policy = (uint8_t)fe->policy;
    s->affinity_s = fe->affinity_s;
    s->affinity_key = fe->affinity_group;
    endpoint_slots_change(&s->slots[SCOPE_CLUSTER], fe->endpoints, (uint32_t)fe->n_endpoints,
                          on_index, &f->counters);
    endpoint_slots_change(&s->slots[SCOPE_LOCAL], fe->local, (uint32_t)fe->n_local, on_index,
                          &f->counters);
    frontend_state_change_sources(s, fe->restricted, fe->sources, fe->n_sources, on_source,
                                  &f->counters);
}

static void change_address(struct fake *f, const struct address_change *a)
{
    size_t at = 0;
    while (at < f->lists[a->list].n && ip_cmp(&f->lists[a->list].v[at], &a->ip) < 0)
        at++;
    bool there = at < f->lists[a->list].n && ip_eq(&f->lists[a->list].v[at], &a->ip);
    if (a->removed && there) {
        vec_remove(&f->lists[a->list], at);
    } else if (!a->removed && !there) {
        vec_push(&f->lists[a->list], a->ip);
        struct ip *v = f->lists[a->list].v;
        memmove(v + at + 1, v + at, (f->lists[a->list].n - 1 - at) * sizeof(*v));
        v[at] = a->ip;
    }
}

static int trouble(struct fake *f, struct err *reterr)
{
    f->broken = f->fail > 0;
    if (!f->broken)
        return 0;
    f->fail--;
    f->counters.failures++;
    return err_set(reterr, -EBUSY, NULL, "made to fail");
}

static void take_networks(struct fake *f, const struct dataplane_networks *w)
{
    char text[PREFIX_TEXT_BYTES];
    buf_clear(&f->networks);
    for (size_t i = 0; i < w->n_pods; i++)
        buf_addf(&f->networks, "pods %s\n", prefix_format(&w->pods[i], text));
    for (size_t i = 0; i < w->n_services; i++)
        buf_addf(&f->networks, "services %s\n", prefix_format(&w->services[i], text));
}

static int fake_apply(struct dataplane *d, const struct dataplane_delta *delta, struct err *reterr)
{
    struct fake *f = of(d);
    pthread_mutex_lock(&f->lock);
    f->counters.transactions++;
    while (f->held)
        pthread_cond_wait(&f->let_go, &f->lock);
    if (delta->full) {
        frontend_table_done(&f->table);
        for (int l = 0; l < _DATAPLANE_LIST_MAX; l++)
            vec_clear(&f->lists[l]);
    }
    if (delta->networks)
        take_networks(f, delta->networks);
    for (size_t i = 0; i < delta->n_frontends; i++)
        change_frontend(f, &delta->frontends[i]);
    for (size_t i = 0; i < delta->n_addresses; i++)
        change_address(f, &delta->addresses[i]);
    int r = trouble(f, reterr);
    pthread_mutex_unlock(&f->lock);
    return r;
}

static void fake_settle(struct dataplane *d)
{
    pthread_mutex_lock(&of(d)->lock);
    of(d)->settles++;
    pthread_mutex_unlock(&of(d)->lock);
}

static void fake_dump(const struct dataplane *d, struct buf *out)
{
    pthread_mutex_lock(&of(d)->lock);
    frontend_table_dump(&of(d)->table, out);
    pthread_mutex_unlock(&of(d)->lock);
}

static void fake_counters(const struct dataplane *d, struct dataplane_counters *ret)
{
    pthread_mutex_lock(&of(d)->lock);
    *ret = of(d)->counters;
    ret->unsettled = true; /* tests count how often */
    ret->frontends = of(d)->table.map.used;
    pthread_mutex_unlock(&of(d)->lock);
}

static int fake_repair(struct dataplane *d, struct err *reterr)
{
    struct fake *f = of(d);
    pthread_mutex_lock(&f->lock);
    bool was_broken = f->broken || f->tampered;
    uint64_t rings;
    IGNORE_RESULT(read(f->bell, &rings, sizeof(rings)));
    f->counters.foreign[4] += f->tampered; /* elements */
    f->tampered = false;
    int r = trouble(f, reterr);
    f->counters.repairs += was_broken && r == 0;
    pthread_mutex_unlock(&f->lock);
    return r < 0 ? r : was_broken;
}

static int fake_watch_fd(const struct dataplane *d)
{
    return of(d)->bell;
}

static void fake_free(struct dataplane *d)
{
    frontend_table_done(&of(d)->table);
    for (int l = 0; l < _DATAPLANE_LIST_MAX; l++)
        vec_done(&of(d)->lists[l]);
    pthread_cond_destroy(&of(d)->let_go);
    close(of(d)->bell);
    buf_done(&of(d)->networks);
    pthread_mutex_destroy(&of(d)->lock);
    free(of(d));
}

struct dataplane *fake_dataplane_new(void)
{
    static const struct dataplane_ops ops = {
        .name = "fake",
        .apply = fake_apply,
        .settle = fake_settle,
        .dump = fake_dump,
        .counters = fake_counters,
        .repair = fake_repair,
        .watch_fd = fake_watch_fd,
        .free = fake_free,
    };
    struct fake *f = NEW(struct fake);
    f->base.ops = &ops;
    f->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->let_go, NULL);
    return &f->base;
}

void fake_dataplane_hold(struct dataplane *d, bool hold)
{
    pthread_mutex_lock(&of(d)->lock);
    of(d)->held = hold;
    pthread_cond_broadcast(&of(d)->let_go);
    pthread_mutex_unlock(&of(d)->lock);
}

void fake_dataplane_fail(struct dataplane *d, unsigned n)
{
    pthread_mutex_lock(&of(d)->lock);
    of(d)->fail = n;
    pthread_mutex_unlock(&of(d)->lock);
}

void fake_dataplane_tamper(struct dataplane *d)
{
    uint64_t one = 1;
    pthread_mutex_lock(&of(d)->lock);
    of(d)->tampered = true;
    IGNORE_RESULT(write(of(d)->bell, &one, sizeof(one)));
    pthread_mutex_unlock(&of(d)->lock);
}

unsigned fake_dataplane_settles(struct dataplane *d)
{
    pthread_mutex_lock(&of(d)->lock);
    unsigned n = of(d)->settles;
    pthread_mutex_unlock(&of(d)->lock);
    return n;
}

void fake_dataplane_dump_list(struct dataplane *d, enum dataplane_list list, struct buf *out)
{
    char text[IP_TEXT_BYTES];
    pthread_mutex_lock(&of(d)->lock);
    VEC_FOREACH (ip, &of(d)->lists[list])
        buf_addf(out, "%s\n", ip_format(ip, text));
    pthread_mutex_unlock(&of(d)->lock);
}

void fake_dataplane_dump_networks(struct dataplane *d, struct buf *out)
{
    pthread_mutex_lock(&of(d)->lock);
    buf_add_str(out, buf_str(&of(d)->networks));
    pthread_mutex_unlock(&of(d)->lock);
}
