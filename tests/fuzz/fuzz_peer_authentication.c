/* PeerAuthentications: whatever stands there, a pod has a mode.
 * fuzz-layer: model */
#include <stdlib.h>

#include "model/peer_authentication.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The table is made of small things that end the program for want of memory. */
void fuzz_without_faults(void);
void fuzz_without_faults(void)
{
}

static void on_pod(const struct workload *w, void *user)
{
    (void)w;
    (void)user;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON json_t *j = NULL;
    struct err err = {0};
    struct mtls_policy p;
    if (json_parse(str_of(data, size), 0, NULL, &j, NULL) < 0)
        return 0;
    struct workloads *pods = workloads_new(on_pod, NULL);
    struct peer_authentications *t = peer_authentications_new("root");
    AUTO_JSON json_t *pod = json_pack("{s:{s:s,s:s,s:{s:s}}}", "metadata", "namespace", "ns",
                                      "name", "p", "labels", "app", "a");
    workloads_put(pods, pod);
    if (peer_authentications_put(t, j, &err) < 0 && !err.code)
        abort();
    peer_authentications_find(t, STR("ns"), pods, workloads_find(pods, STR("ns/p")), &p);
    for (unsigned port = 0; port < 100; port++)
        if (mtls_policy_of(&p, (uint16_t)port) == MTLS_UNSET)
            abort();
    peer_authentications_remove(t, STR("ns/p"));
    peer_authentications_free(t);
    workloads_free(pods);
    return 0;
}
