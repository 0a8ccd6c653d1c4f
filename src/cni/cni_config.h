#pragma once
/* What a container runtime gives a CNI plugin (CNI specification 1.1.0), and the entry of ours in
 * the list of plugins of a network. Pure. */

#include "base/err.h"
#include "codec/json.h"

#define CNI_PLUGIN "fairlead-cni"
#define CNI_SOCKET "/run/fairlead-cni/socket" /* of fairlead-cni-node */

enum {
    CNI_CONFIG_BYTES_MAX = 1024 * 1024,
    CNI_PACKET_BYTES_MAX = 64 * 1024, /* between the plugin and fairlead-cni-node */
};

/* Codes of errors that the specification gives. */
enum cni_error {
    CNI_INCOMPATIBLE_VERSION = 1,
    CNI_INVALID_ENVIRONMENT = 4,
    CNI_IO_FAILURE = 5,
    CNI_NOT_DECODED = 6,
    CNI_INVALID_CONFIG = 7,
    CNI_TRY_AGAIN = 11,
    CNI_NO_RULES = 100, /* from here on they are a plugin's own */
};

/* All borrowed from json. */
struct cni_config {
    json_t *json;
    const char *version; /* "" where it says none */
    const char *socket;
    const json_t *excluded;    /* namespaces */
    const json_t *prev_result; /* NULL: there is none */
};

/* text: standard input. Free with cni_config_done, always; *ret_code at failure. */
int cni_config_read(struct str text, struct cni_config *ret, enum cni_error *ret_code,
                    struct err *reterr) NODISCARD;
void cni_config_done(struct cni_config *c);
bool cni_version_is_known(const char *version);
extern const char *const cni_versions[]; /* NULL ends them */

/* KEY's value in CNI_ARGS ("K8S_POD_NAME=a;K8S_POD_NAMESPACE=b"); empty: it is not in there. */
struct str cni_arg(const char *args, const char *key);
bool cni_namespace_is_excluded(const struct cni_config *c, struct str name);

/* ---- a network's list of plugins ---- */

/* Puts the entry behind the others, or makes it what it should be. *ret_changed. -EINVAL: list is
 * none. */
int cni_list_put(json_t *list, const char *socket, const json_t *excluded, bool *ret_changed,
                 struct err *reterr) NODISCARD;
/* True: it was there. */
bool cni_list_remove(json_t *list);
