/* placeholder until the server lands in this commit series */
#include "lab/node_priv.h"
int kubelet_server_new(struct node *n, struct kubelet_server **ret, struct err *reterr)
{
    (void)n;
    (void)reterr;
    *ret = NULL;
    return 0;
}
void kubelet_server_free(struct kubelet_server *s)
{
    (void)s;
}
