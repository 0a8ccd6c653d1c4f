#include "model/route_backend_tls.h"

struct route_backend_tls *route_backend_tls_new(void)
{
    struct route_backend_tls *t = NEW(struct route_backend_tls);
    t->refs = 1;
    return t;
}

struct route_backend_tls *route_backend_tls_ref(struct route_backend_tls *t)
{
    if (t)
        t->refs++;
    return t;
}

void route_backend_tls_unref(struct route_backend_tls *t)
{
    if (!t || --t->refs)
        return;
    free(t->secret);
    free(t->name);
    free(t->ciphers);
    free(t);
}

void route_backend_tls_format(const struct route_backend_tls *t, struct buf *out)
{
    const char *name = t->name ? t->name : "the Service";
    buf_addf(out, "Secret %s", t->secret ? t->secret : "none");
    if (t->verify)
        buf_addf(out, ", verified as %s, depth %u", name, t->depth);
    else
        buf_add_cstr(out, ", not verified");
    if (t->server_name)
        buf_addf(out, ", SNI %s", name);
    if (t->tls_min)
        buf_addf(out, ", TLS 1.%u to 1.%u", t->tls_min - 10, t->tls_max - 10);
    if (t->ciphers)
        buf_addf(out, ", ciphers %s", t->ciphers);
}
