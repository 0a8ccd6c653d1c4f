#pragma once
/* What is said about certificates of Ingresses: by the control plane in Events, by `analyze`. Who
 * reads PEM tells facts; here is what follows from them. */

#include "model/route.h"

/* Of one Secret. */
struct certificate_facts {
    char *secret; /* namespace/name */
    char *error;  /* why it cannot be used; NULL: it can */
    char **names; /* its DNS names; n_names */
    size_t n_names;
    int64_t not_before_s, not_after_s; /* Unix time */
};

/* Days before its end in which a certificate is told of. */
enum { CERTIFICATE_SOON_DAYS = 21 };

/* The host is served with the default certificate, since its Secret cannot be used: told of its
 * first Ingress. */
void certificate_tell_absent(struct route_host *h);
/* Error CertificateInvalid of the Secret. */
void certificate_tell_invalid(struct findings *f, const char *secret, const char *why);
/* Does one of the names stand for the host? "*.a.example" needs that very name. */
bool certificate_covers(const struct certificate_facts *c, const char *host);
/* Whether its time is over, has not come, or is over soon. */
void certificate_tell_times(struct findings *f, const struct certificate_facts *c, int64_t now_s);
