/* The fake backend: keeps what it was told, for tests of what stands above. Same table, no kernel.
 * Also the words of reasons.def. */
#include "dataplane/frontend_table.h"

struct fake {
    struct dataplane base;
    struct frontend_table table;
    struct dataplane_counters counters;
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

static void on_index(uint32_t index, const struct dataplane_endpoint *old_,
                     const struct dataplane_endpoint *new_, void *user)
{
    struct dataplane_counters *c = user;
    (void)index;
    c->elements_removed += old_ != NULL;
    c->elements_added += new_ != NULL;
}

static int fake_apply(struct dataplane *d, const struct dataplane_delta *delta, struct err *reterr)
{
    struct fake *f = of(d);
    (void)reterr;
    f->counters.transactions++;
    if (delta->full)
        frontend_table_done(&f->table);
    for (size_t i = 0; i < delta->n_frontends; i++) {
        const struct frontend *fe = &delta->frontends[i];
        if (fe->removed) {
            frontend_table_remove(&f->table, &fe->key);
            continue;
        }
        struct frontend_state *s = frontend_table_get(&f->table, &fe->key);
        s->policy = (uint8_t)fe->policy;
        frontend_state_change(s, fe->endpoints, (uint32_t)fe->n_endpoints, on_index, &f->counters);
    }
    return 0;
}

static void fake_settle(struct dataplane *d)
{
    (void)d;
}

static void fake_dump(const struct dataplane *d, struct buf *out)
{
    frontend_table_dump(&of(d)->table, out);
}

static void fake_counters(const struct dataplane *d, struct dataplane_counters *ret)
{
    *ret = of(d)->counters;
    ret->frontends = of(d)->table.map.used;
}

static int fake_repair(struct dataplane *d, struct err *reterr)
{
    (void)d;
    (void)reterr;
    return 0;
}

static int fake_watch_fd(const struct dataplane *d)
{
    (void)d;
    return -1;
}

static void fake_free(struct dataplane *d)
{
    frontend_table_done(&of(d)->table);
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
    return &f->base;
}
