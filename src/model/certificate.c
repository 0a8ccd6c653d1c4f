#include "model/certificate.h"

#include "base/time.h"

void certificate_tell_absent(struct route_host *h)
{
    finding_add(&h->findings, FINDING_WARNING, "SecretNotFound", h->routes[0].origin.object,
                streq(h->owner.kind, "VirtualService") ? "spec.gateways" : "spec.tls",
                "create it, of type kubernetes.io/tls",
                "host %s is served with the default certificate: there is no usable Secret %s",
                h->name, h->secret);
}

void certificate_tell_invalid(struct findings *f, const char *secret, const char *why)
{
    finding_add(f, FINDING_WARNING, "CertificateInvalid", secret, "data",
                "tls.crt is the chain in PEM, the server's certificate first; tls.key its key",
                "not usable, the last good one stays: %s", why);
}

bool certificate_covers(const struct certificate_facts *c, const char *host)
{
    struct str want = str_from(host), rest;
    (void)str_cut(want, '.', &rest);
    for (size_t i = 0; i < c->n_names; i++) {
        struct str name = str_from(c->names[i]);
        if (str_eq_nocase(name, want) || (rest.p && str_starts(name, STR("*.")) && *host != '*' &&
                                          str_eq_nocase(str_sub(name, 2, name.n), rest)))
            return true;
    }
    return false;
}

void certificate_tell_times(struct findings *f, const struct certificate_facts *c, int64_t now_s)
{
    static const char hint[] = "renew it";
    char at[21];
    time_format_rfc3339(c->not_after_s, at);
    if (c->not_after_s <= now_s) {
        finding_add(f, FINDING_ERROR, "CertificateExpired", c->secret, "data", hint,
                    "the certificate was good until %s", at);
    } else if (c->not_before_s > now_s) {
        time_format_rfc3339(c->not_before_s, at);
        finding_add(f, FINDING_ERROR, "CertificateNotYetValid", c->secret, "data",
                    "check the clock of who issued it", "the certificate is good from %s on", at);
    } else if (c->not_after_s - now_s < CERTIFICATE_SOON_DAYS * 86400) {
        finding_add(f, FINDING_WARNING, "CertificateExpiresSoon", c->secret, "data", hint,
                    "the certificate is good until %s", at);
    }
}
