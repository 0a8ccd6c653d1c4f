/* Secrets: those of the bootstrap and those that are asked for by name. When one comes or changes,
 * the TLS contexts that are built of it are exchanged, nothing else. What is in one is never told.
 */
#include <errno.h>

#include "base/assert.h"
#include "proxy/store_priv.h"

typedef Envoy__Extensions__TransportSockets__Tls__V3__Secret pb_secret;

static struct store_secret *secret_get(struct store *s, struct str name)
{
    struct store_secret *secret = map_find(&s->secrets, name);
    if (!secret) {
        secret = NEW(struct store_secret);
        secret->name = str_dup(name);
        map_put(&s->secrets, name, secret);
    }
    return secret;
}

const pb_secret *store_find_secret(struct str name,
                                   const Envoy__Config__Core__V3__ConfigSource *from, void *user)
{
    struct store *s = user;
    struct store_secret *secret = map_find(&s->secrets, name);
    struct pb_path path = {.n = 0};
    struct config_source source;
    if (secret || !from)
        return secret ? secret->message : NULL;
    if (config_source_compile(from, &path, &source, NULL) < 0)
        return NULL;
    secret = secret_get(s, name);
    secret->source = source;
    s->secrets_stale = true; /* whoever wants it may be refused for something else */
    s->ops->on_want(&secret->source, XDS_SECRET, name, true, s->user);
    return NULL;
}

/* ---- contexts ---- */

static void rebuild(struct store *s, struct tls_slot *slot, struct str name, struct err *err)
{
    if (!slot || !tls_slot_needs(slot, name))
        return;
    AUTO(arena) struct arena *a = arena_new(0);
    struct compile c = {.scratch = a, .find_secret = store_find_secret, .secrets = s, .err = err};
    IGNORE_RESULT(tls_slot_rebuild(slot, &c)); /* the old one stays; err says why */
}

static void rebuild_listener(struct store *s, struct listener_config *l, struct str name,
                             struct err *err)
{
    if (!l)
        return;
    VEC_FOREACH (chain, &l->chains.v)
        rebuild(s, chain->tls, name, err);
    if (l->chains.otherwise)
        rebuild(s, l->chains.otherwise->tls, name, err);
}

static void rebuild_cluster(struct store *s, const struct cluster *c, struct str name,
                            struct err *err)
{
    const struct upstream_tls *tls;
    for (size_t at = 0; c && cluster_next_tls(c, &at, &tls);)
        rebuild(s, tls->slot, name, err);
}

static void rebuild_all(struct store *s, struct str name, struct err *err)
{
    void *p;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);) {
        rebuild_listener(s, ((struct store_listener *)p)->live, name, err);
        rebuild_listener(s, ((struct store_listener *)p)->warming, name, err);
    }
    for (size_t at = 0; map_next(&s->clusters, &at, NULL, &p);) {
        const struct store_cluster *sc = p;
        rebuild_cluster(s, sc->live, name, err);
        rebuild_cluster(s, sc->warming, name, err);
    }
}

/* ---- secrets ---- */

int store_secret_add(struct store *s, const struct store_item *i)
{
    struct store_secret *secret = map_find(&s->secrets, i->name);
    AUTO_DONE(buf) struct buf b = {0};
    struct arena *a = arena_new(0), *before;
    ProtobufCMessage *copy;
    if (secret && secret->is_static && i->is_static)
        return pb_path_fail(i->path, i->err, -EINVAL, "duplicate static secret '%s'", secret->name);
    if ((!secret && !i->is_static) || (secret && secret->is_static))
        return 0; /* nobody asked for it */
    int r = pb_pack(i->message, &b);
    if (r == 0)
        r = pb_unpack(i->message->descriptor, buf_str(&b), a, &copy, i->err);
    if (r < 0) {
        arena_free(a);
        return r;
    }
    secret = secret_get(s, i->name);
    before = secret->arena;
    const pb_secret *old = secret->message;
    secret->arena = a;
    secret->message = (const void *)copy;
    secret->is_static = i->is_static;
    struct err err = {0};
    rebuild_all(s, i->name, &err);
    if (err.code) { /* what cannot be used does not replace what can */
        secret->arena = before;
        secret->message = old;
        arena_free(a);
        if (i->err)
            *i->err = err;
        return err.code;
    }
    arena_free(before);
    if (!i->is_static)
        kept_texts_offer(&secret->text, kept_text_new(i->from->version, STR("")));
    kept_texts_commit(&secret->text);
    loop_defer_soon(s->loop, &s->settle); /* somebody may have waited for it */
    return 0;
}

void store_secrets_wait(const struct store *s, const struct tls_slot *slot, struct store_wait *w)
{
    const char *name;
    if (!slot || tls_slot_is_ready(slot))
        return;
    for (size_t i = 0; (name = tls_slot_secret(slot, i)); i++) {
        const struct store_secret *secret = map_find_cstr(&s->secrets, name);
        if (secret && !secret->message)
            store_wait_add(w, secret->source.warm_ms);
    }
}

/* ---- those that nobody needs ---- */

static void need(struct store *s, const struct tls_slot *slot)
{
    const char *name;
    for (size_t i = 0; slot && (name = tls_slot_secret(slot, i)); i++) {
        struct store_secret *secret = map_find_cstr(&s->secrets, name);
        if (secret)
            secret->needed = true;
    }
}

static void need_of_listener(struct store *s, const struct listener_config *l)
{
    if (!l)
        return;
    VEC_FOREACH (chain, &l->chains.v)
        need(s, chain->tls);
    if (l->chains.otherwise)
        need(s, l->chains.otherwise->tls);
}

static void need_of_cluster(struct store *s, const struct cluster *c)
{
    const struct upstream_tls *tls;
    for (size_t at = 0; c && cluster_next_tls(c, &at, &tls);)
        need(s, tls->slot);
}

static void secret_free(struct store_secret *secret)
{
    arena_free(secret->arena);
    config_source_done(&secret->source);
    kept_texts_done(&secret->text);
    free(secret->name);
    free(secret);
}

void store_secrets_sweep(struct store *s)
{
    void *p;
    s->secrets_stale = false;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);) {
        need_of_listener(s, ((const struct store_listener *)p)->live);
        need_of_listener(s, ((const struct store_listener *)p)->warming);
    }
    for (size_t at = 0; map_next(&s->clusters, &at, NULL, &p);) {
        const struct store_cluster *sc = p;
        need_of_cluster(s, sc->live);
        need_of_cluster(s, sc->warming);
    }
    for (size_t at = 0; map_next(&s->secrets, &at, NULL, &p);) {
        struct store_secret *secret = p;
        bool goes = !secret->needed && !secret->is_static;
        secret->needed = false;
        if (!goes)
            continue;
        s->ops->on_want(&secret->source, XDS_SECRET, str_from(secret->name), false, s->user);
        map_remove_cstr(&s->secrets, secret->name);
        secret_free(secret);
    }
}

void store_secrets_done(struct store *s)
{
    void *p;
    for (size_t at = 0; map_next(&s->secrets, &at, NULL, &p);)
        secret_free(p);
    map_done(&s->secrets);
}
