#pragma once
/* Istio's IstioCertificateService beside the xDS streams: who shows a service account's token gets
 * a certificate for that account, and for no other. */

#include "control/ca.h"
#include "kube/client.h"
#include "net/grpc_server.h"

struct certificate_service;

struct certificate_service_options {
    const char *trust_domain;
    uint32_t lifetime_s; /* of who asks for none, or for more */
};

/* Why one was refused. */
enum certificate_refusal {
    CERTIFICATE_NO_CA,       /* the CA is not known yet, or has ended */
    CERTIFICATE_BUSY,        /* too many are being asked about */
    CERTIFICATE_CALLER,      /* no token, or none that is good */
    CERTIFICATE_NO_ACCOUNT,  /* it is no service account's */
    CERTIFICATE_BAD_REQUEST, /* it cannot be read, or asks for what nobody may have */
    CERTIFICATE_BAD_KEY,     /* too weak, or of a kind that is not taken */
    _CERTIFICATE_REFUSALS
};
const char *certificate_refusal_word(enum certificate_refusal r);

struct certificate_service_stats {
    uint64_t issued;
    uint64_t refused[_CERTIFICATE_REFUSALS];
};

struct certificate_service *certificate_service_new(struct kube_client *c,
                                                    const struct certificate_service_options *o);
void certificate_service_free(struct certificate_service *s); /* NULL is allowed; calls are over */
/* From now on. -EINVAL: what is wrong with it; the one before stays. */
int certificate_service_set_ca(struct certificate_service *s, const struct ca_material *m,
                               struct err *reterr) NODISCARD;
/* False: the call is for something else, and untouched. */
bool certificate_service_take(struct certificate_service *s, struct grpc_server_call *call);
void certificate_service_get_stats(const struct certificate_service *s,
                                   struct certificate_service_stats *ret);
