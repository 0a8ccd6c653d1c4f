/* Resources as they came. */
#include "xds/kept_text.h"

#include "base/mem.h"
#include "base/time.h"

struct kept_text *kept_text_new(struct str version, struct str bytes)
{
    struct kept_text *t = xmalloc(sizeof(*t) + version.n + 1 + bytes.n);
    atomic_init(&t->refs, 1);
    t->since_us = time_real_us();
    t->version_n = version.n;
    t->n = bytes.n;
    if (version.n)
        memcpy(t->p, version.p, version.n);
    t->p[version.n] = 0;
    if (bytes.n)
        memcpy(t->p + version.n + 1, bytes.p, bytes.n);
    return t;
}

struct kept_text *kept_text_ref(struct kept_text *t)
{
    if (t)
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void kept_text_unref(struct kept_text *t)
{
    if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
        free(t);
}

void kept_texts_offer(struct kept_texts *k, struct kept_text *text)
{
    kept_text_unref(k->next);
    k->next = text;
}

void kept_texts_commit(struct kept_texts *k)
{
    if (!k->next)
        return;
    kept_text_unref(k->active);
    k->active = TAKE(k->next);
}

void kept_texts_done(struct kept_texts *k)
{
    kept_text_unref(TAKE(k->active));
    kept_text_unref(TAKE(k->next));
}
