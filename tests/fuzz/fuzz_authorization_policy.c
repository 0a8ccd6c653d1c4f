/* AuthorizationPolicies and RequestAuthentications: whatever stands there becomes filters that the
 * proxy's table accepts. fuzz-layer: control */
#include <stdlib.h>

#include "codec/pb_json.h"
#include "control/translate_mesh.h"

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
    struct authorization_list list = {{NULL, 0, 0}};
    static const struct mesh_inbound ports[] = {
        {.port = 8080, .protocol = PORT_HTTP, .mode = MTLS_PERMISSIVE},
        {.port = 8081, .protocol = PORT_TCP, .mode = MTLS_STRICT}};
    struct mesh_access access;
    if (json_parse(str_of(data, size), 0, NULL, &j, NULL) < 0)
        return 0;
    struct workloads *pods = workloads_new(on_pod, NULL);
    struct selected_objects *t = authorization_policies_new("root");
    AUTO_JSON json_t *pod = json_pack("{s:{s:s,s:s,s:{s:s}}}", "metadata", "namespace", "ns",
                                      "name", "p", "labels", "app", "a");
    workloads_put(pods, pod);
    const struct istio_object *o = selected_objects_put(t, j);
    authorization_policies_find(t, STR("ns"), pods, workloads_find(pods, STR("ns/p")), &list);
    if (list.v.n && list.v.v[0]->broken && !o->findings.n)
        abort();
    struct selected_objects *tokens = request_authentications_new("root");
    struct request_authentication_list whose = {{NULL, 0, 0}};
    selected_objects_put(tokens, j);
    request_authentications_find(tokens, STR("ns"), pods, workloads_find(pods, STR("ns/p")),
                                 &whose);
    translate_mesh_access(&list, &whose,
                          &(struct translate_access){.trust_domain = "cluster.local"}, &access);
    /* Ends the program where it is no message. */
    xds_entry_unref(translate_mesh_inbound(ports, ARRAY_LEN(ports), MTLS_PERMISSIVE, MESH_V4,
                                           &access, "cluster.local", NULL));
    mesh_access_done(&access);
    vec_done(&list.v);
    vec_done(&whose.v);
    selected_objects_free(tokens);
    selected_objects_free(t);
    workloads_free(pods);
    return 0;
}
