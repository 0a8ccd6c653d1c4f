/* A kubeconfig that somebody else has written (Secrets of remote clusters): nothing of this machine
 * is read for it, and what is taken has a server that is verified.
 * fuzz-layer: kube */
#include <stdlib.h>

#include "kube/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kube_config *c = NULL;
    struct err err = {0};
    int r = kube_config_parse(str_of(data, size), &c, &err);
    if ((r < 0) != (c == NULL) || (r < 0 && !*err_text(&err)))
        abort();
    if (c && (!c->tls || c->insecure || c->token_file || !c->port || !c->host || !*c->host))
        abort();
    kube_config_free(c);
    return 0;
}
