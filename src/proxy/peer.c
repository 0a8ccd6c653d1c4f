/* Two tables behind one mutex, which is taken for a connection and an update, never for a request:
 * texts, for ever; addresses by their bytes, of which those that nobody uses go when
 * there are too many. */
#include "proxy/peer.h"

#include <google/protobuf/wrappers.pb-c.h>
#include <istio/workload/workload.pb-c.h>
#include <pthread.h>

#include "base/buf.h"
#include "base/vec.h"
#include "codec/pb_msg.h"

static struct {
    pthread_mutex_t lock;
    struct map texts;              /* to themselves */
    size_t strangers;              /* of them */
    struct map slots;              /* bytes of an address -> struct peer_slot */
    VEC(struct peer_slot *) asked; /* to be told to the main thread */
    struct loop *loop;             /* NULL: nobody answers */
    peers_want_fn *want;
    void *user;
    struct peer_slot *self;
    const char *self_until_known;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .texts.borrows = true};

/* ---- texts ---- */

static const char *find_or_keep(struct str text, size_t *strangers, size_t max)
{
    if (!text.n || text.n > LABEL_TEXT_BYTES)
        return NULL;
    pthread_mutex_lock(&all.lock);
    char *p = map_find(&all.texts, text);
    if (!p && all.texts.used < LABEL_TEXTS_MAX && (!strangers || *strangers < max)) {
        p = str_dup(text);
        map_put(&all.texts, str_of(p, text.n), p);
        if (strangers)
            ++*strangers;
    }
    pthread_mutex_unlock(&all.lock);
    return p;
}

const char *label_text(struct str text)
{
    return find_or_keep(text, NULL, 0);
}

const char *label_text_of_some(struct str text, size_t max)
{
    return find_or_keep(text, &all.strangers, max);
}

/* ---- addresses ---- */

static struct str ip_key(const struct ip *ip)
{
    return str_of(ip->bytes, ip_bytes(ip));
}

/* "/10.0.0.1": of a network without a name. */
static struct str slot_name(const struct ip *ip, char ret[IP_TEXT_BYTES + 1])
{
    ret[0] = '/';
    ip_format(ip, ret + 1);
    return str_from(ret);
}

/* On the main thread. */
static void ask(void *user)
{
    struct asked {
        struct peer_slot *slot;
        bool leaving; /* as it is now: only who sees that frees it */
    };
    VEC(struct asked) asked = {0};
    char name[IP_TEXT_BYTES + 1];
    (void)user;
    pthread_mutex_lock(&all.lock);
    VEC_FOREACH (s, &all.asked) {
        vec_push(&asked, (struct asked){*s, (*s)->leaving});
        (*s)->queued = false;
    }
    vec_clear(&all.asked);
    pthread_mutex_unlock(&all.lock);
    VEC_FOREACH (a, &asked) {
        if (all.want)
            all.want(slot_name(&a->slot->ip, name), !a->leaving, all.user);
        if (a->leaving && !atomic_load(&a->slot->named))
            free(a->slot);
    }
    vec_done(&asked);
}

static void tell(struct peer_slot *s)
{
    if (s->queued)
        return;
    s->queued = true;
    vec_push(&all.asked, s);
    if (all.asked.n == 1)
        loop_post(all.loop, ask, NULL);
}

/* Those that nobody uses. */
static void make_room(void)
{
    void *p;
    for (size_t at = 0; map_next(&all.slots, &at, NULL, &p);) {
        struct peer_slot *s = p;
        if (atomic_load(&s->users) || s == all.self)
            continue;
        map_remove(&all.slots, ip_key(&s->ip));
        s->leaving = true;
        tell(s);
    }
}

static struct peer_slot *use(const struct ip *ip)
{
    struct peer_slot *s = map_find(&all.slots, ip_key(ip));
    if (!s && all.slots.used >= PEER_SLOTS_MAX)
        make_room();
    if (!s && all.slots.used < PEER_SLOTS_MAX) {
        s = NEW(struct peer_slot);
        s->ip = *ip;
        map_put(&all.slots, ip_key(ip), s);
        tell(s);
    }
    if (s)
        atomic_fetch_add(&s->users, 1);
    return s;
}

struct peer_slot *peer_slot_use(const struct ip *ip)
{
    struct ip plain = ip_unmapped(ip);
    pthread_mutex_lock(&all.lock);
    struct peer_slot *s = all.loop && plain.family ? use(&plain) : NULL;
    pthread_mutex_unlock(&all.lock);
    return s;
}

void peer_slot_end_use(struct peer_slot *s)
{
    if (s)
        atomic_fetch_sub(&s->users, 1);
}

void peers_start(struct loop *l, peers_want_fn *want, void *user)
{
    pthread_mutex_lock(&all.lock);
    all.loop = l;
    all.want = want;
    all.user = user;
    pthread_mutex_unlock(&all.lock);
}

void peers_stop(void)
{
    void *p;
    pthread_mutex_lock(&all.lock);
    all.loop = NULL;
    all.want = NULL;
    all.self = NULL;
    all.self_until_known = NULL;
    for (size_t at = 0; map_next(&all.slots, &at, NULL, &p);)
        free(p);
    map_done(&all.slots);
    vec_done(&all.asked);
    for (size_t at = 0; map_next(&all.texts, &at, NULL, &p);)
        free(p);
    map_done(&all.texts);
    all.texts.borrows = true;
    all.strangers = 0;
    pthread_mutex_unlock(&all.lock);
}

/* ---- what the control plane says ---- */

static const char *peer_of(const struct xds_item *i)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf text = {0};
    ProtobufCMessage *m;
    if (pb_unpack(&istio__workload__address__descriptor, i->bytes, a, &m, NULL) < 0)
        return NULL;
    const Istio__Workload__Address *address = (const Istio__Workload__Address *)m;
    if (address->type_case != ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD)
        return NULL;
    const Istio__Workload__Workload *w = address->workload;
    buf_addf(&text, "%s;%s;%s;%s;%s;%s;%s", *w->workload_name ? w->workload_name : w->name,
             w->namespace_, w->canonical_name, w->canonical_revision, w->cluster_id,
             w->canonical_name, w->canonical_revision);
    return label_text(buf_str(&text));
}

static void set_peer(struct str name, const char *peer)
{
    struct str rest, network = str_cut(name, '/', &rest);
    struct ip ip;
    if (network.n || ip_parse(rest, &ip) < 0)
        return;
    pthread_mutex_lock(&all.lock);
    struct peer_slot *s = map_find(&all.slots, ip_key(&ip));
    if (s && !atomic_load(&s->first))
        atomic_store(&s->first, peer);
    if (s)
        atomic_store(&s->peer, peer);
    pthread_mutex_unlock(&all.lock);
}

void peers_update(const struct xds_update *u)
{
    for (size_t i = 0; i < u->n_items; i++) {
        const char *peer = peer_of(&u->items[i]);
        if (peer) /* one that goes is who it was, until somebody else has its address */
            set_peer(u->items[i].name, peer);
    }
}

void peers_set_self(const struct ip *ip, struct str until_known)
{
    all.self = peer_slot_use(ip);
    all.self_until_known = label_text(until_known);
}

const char *peers_self(void)
{
    const char *p = all.self ? atomic_load(&all.self->peer) : NULL;
    return p ? p : all.self_until_known;
}
