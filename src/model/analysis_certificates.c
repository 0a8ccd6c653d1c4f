/* What an analysis says of certificates. */
#include "model/analysis_priv.h"
#include "model/explain.h"

static const struct certificate_facts *find_facts(const struct analysis *a, const char *secret)
{
    for (size_t i = 0; i < a->in->n_certificates; i++)
        if (streq(a->in->certificates[i].secret, secret))
            return &a->in->certificates[i];
    return NULL;
}

static void check_host(const struct analysis *a, struct route_host *h)
{
    if (str_empty(h->secret) || !h->n_routes || !a->in->knows_secrets)
        return;
    const struct certificate_facts *c = find_facts(a, h->secret);
    if (!c || c->error)
        certificate_tell_absent(h);
    else if (!certificate_covers(c, h->name) && strcmp(h->name, "*") != 0)
        finding_add(a->out, FINDING_WARNING, "CertificateNameMismatch", h->routes[0].origin.object,
                    "spec.tls", "have a certificate issued that names the host",
                    "the certificate of Secret %s does not name host %s", h->secret, h->name);
}

static void check_entry(const struct analysis *a, const struct ingress_object *i, uint32_t t)
{
    const struct ingress_tls *tls = &i->tls[t];
    AUTO_CHARS char *field = xasprintf("spec.tls[%u]", t);
    if (!*tls->secret)
        finding_add(a->out, FINDING_INFO, "TlsNoSecret", i->key, field, "name a Secret",
                    "no Secret is named: the default certificate is served");
    for (uint32_t h = 0; h < tls->n_hosts; h++) {
        AUTO_CHARS char *at = xasprintf("spec.tls[%u].hosts[%u]", t, h);
        AUTO_CHARS char *lower = explain_host_name(str_from(tls->hosts[h]), 0);
        if (!ingress_snapshot_host(a->snapshot, lower))
            finding_add(a->out, FINDING_INFO, "TlsHostUnused", i->key, at,
                        "add a rule for it, or leave it out", "host %s has no rules",
                        tls->hosts[h]);
    }
}

void analysis_certificates(const struct analysis *a)
{
    const struct ingress_object *i;
    for (size_t c = 0; c < a->in->n_certificates; c++) {
        const struct certificate_facts *facts = &a->in->certificates[c];
        if (facts->error)
            certificate_tell_invalid(a->out, facts->secret, facts->error);
        else
            certificate_tell_times(a->out, facts, a->in->now_s);
    }
    for (size_t h = 0; h < a->snapshot->n_hosts; h++)
        check_host(a, a->snapshot->sorted[h]);
    for (size_t at = 0; ingress_routes_next(a->snapshot->routes, &at, &i);)
        for (uint32_t t = 0; t < i->n_tls; t++)
            check_entry(a, i, t);
}
