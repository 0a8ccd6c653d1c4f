/* What a container runtime gives the plugin: the first byte says how long CNI_ARGS are, then these,
 * then the configuration. What is taken has a version, and our entry has one place in a list.
 * fuzz-layer: cni */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cni/cni_config.h"
#include "intercept/interception_pod.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_twice(json_t *list)
{
    AUTO_JSON json_t *none = json_array();
    bool changed;
    if (cni_list_put(list, CNI_SOCKET, none, &changed, NULL) < 0)
        return;
    if (cni_list_put(list, CNI_SOCKET, none, &changed, NULL) < 0 || changed)
        abort();
    if (!cni_list_remove(list))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = size ? MIN((size_t)data[0], size - 1) : 0;
    AUTO_CHARS char *args = xcalloc(1, n + 1);
    AUTO_DONE(cni_config) struct cni_config c = {0};
    enum cni_error code = 0;
    struct err err = {0};
    if (n)
        memcpy(args, data + 1, n);
    struct str ns = cni_arg(args, "K8S_POD_NAMESPACE");
    if (ns.n && (ns.p < args || ns.p + ns.n > args + n))
        abort();
    int r = size ? cni_config_read(str_of(data + 1 + n, size - 1 - n), &c, &code, &err) : -1;
    if (size && r < 0 && (!code || !*err_text(&err) || !c.version))
        abort();
    if (r < 0)
        return 0;
    if (!cni_version_is_known(c.version))
        abort();
    (void)cni_namespace_is_excluded(&c, ns);
    put_twice(c.json);
    if (interception_is_asked_for(c.json)) {
        struct interception i;
        bool ipv6;
        if (interception_of_pod(c.json, &i, &ipv6, &err) < 0 && !*err_text(&err))
            abort();
        interception_done(&i);
    }
    return 0;
}
