/* Mesh config, YAML inside a ConfigMap: whatever stands there, what is left can be used.
 * fuzz-layer: model */
#include <stdlib.h>

#include "model/mesh_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The table is made of small things that end the program for want of memory. */
void fuzz_without_faults(void);
void fuzz_without_faults(void)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON json_t *text = json_text(str_of(data, size));
    AUTO_JSON json_t *object = json_pack("{s:{s:O}}", "data", "mesh", text);
    struct mesh_config *c = mesh_config_new("ns/istio", object);
    for (size_t i = 0; i < c->n_providers; i++) {
        const struct mesh_provider *p = &c->providers[i];
        if (mesh_config_find(c, p->name) != p || (p->host && !p->port))
            abort();
    }
    if (!(c->sampling >= 0 && c->sampling <= 100))
        abort();
    mesh_config_free(c);
    return 0;
}
