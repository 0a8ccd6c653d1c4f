#pragma once
/* Who this proxy is to others: a key that never leaves its memory, and a certificate for the
 * service account of its token, asked of the control plane's CA
 * (istio.v1.auth.IstioCertificateService) and renewed at half of its life. Gives the store what
 * Istio's agent gives an Envoy by SDS: the secrets `default` (certificate and key) and `ROOTCA`
 * (whom to trust). Main thread.
 *
 * Failure modes: whatever fails is tried again for ever, with a growing, jittered pause of at most
 * 30 s; what is in force stays, and peers refuse it once it has ended. */

#include "proxy/store.h"

struct identity;

#define IDENTITY_CERTIFICATE "default"
#define IDENTITY_TRUST       "ROOTCA"

struct identity_options {
    const char *cluster;    /* the control plane's */
    const char *token_file; /* read for each call */
    const char *root_file;  /* PEM: whom to trust before the CA has said it, and beside that; it is
                               looked at again now and then. NULL: none */
};

/* Asks soon. All are copied, but for the store. */
struct identity *identity_new(struct loop *l, struct store *s, const struct identity_options *o);
void identity_free(struct identity *i); /* NULL is allowed */
/* Somebody wants a secret of that name, or no more. */
void identity_want(struct identity *i, struct str name, bool wanted);
