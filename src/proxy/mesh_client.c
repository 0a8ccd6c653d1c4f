#include "proxy/mesh_client.h"

static _Atomic(const char *) ourselves;

/* As Istio tells it, with the scheme. NULL: it has shown no certificate that is good, with a name.
 */
static const char *principal_of(struct tls_session *tls)
{
    const struct tls_peer *peer = tls ? tls_session_peer(tls) : NULL;
    return peer && peer->verified && peer->uris.n ? label_text(peer->uris.v[0]) : NULL;
}

static const char *own_principal(const struct tls_session *tls)
{
    AUTO_DONE(buf) struct buf own = {0};
    return tls_session_own_uri(tls, &own) ? label_text(buf_str(&own)) : NULL;
}

void mesh_client_init(struct mesh_client *m, const struct conn *c)
{
    struct tls_session *tls = conn_tls(c);
    struct ip ip;
    uint16_t port;
    if (conn_peer_addr(c, &ip, &port) == 0)
        m->slot = peer_slot_use(&ip);
    m->principal = principal_of(tls);
    if (m->principal)
        m->own = own_principal(tls);
}

void mesh_note_principal(_Atomic(const char *) *to, struct tls_session *tls)
{
    const char *principal = principal_of(tls);
    atomic_store_explicit(to, principal, memory_order_relaxed);
    if (principal) /* it is the same for all endpoints */
        atomic_store_explicit(&ourselves, own_principal(tls), memory_order_relaxed);
}

void mesh_client_done(struct mesh_client *m)
{
    peer_slot_end_use(TAKE(m->slot));
}

const char *mesh_ourselves(void)
{
    return atomic_load_explicit(&ourselves, memory_order_relaxed);
}
