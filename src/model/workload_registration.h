#pragma once
/* A machine that is no pod becomes a WorkloadEntry: what it is called and what it says, of its
 * WorkloadGroup and of what its proxy says of itself, as Istio makes them. Pure. */

#include "base/addr.h"
#include "codec/json.h"
#include "model/finding.h"

#define REGISTRATION_GROUP        "istio.io/autoRegistrationGroup" /* annotations of entries */
#define REGISTRATION_CONTROLLER   "istio.io/workloadController"
#define REGISTRATION_CONNECTED    "istio.io/connectedAt"
#define REGISTRATION_DISCONNECTED "istio.io/disconnectedAt"
#define REGISTRATION_HEALTH       "proxy.istio.io/health-checks-enabled"

/* What a proxy says of itself. */
struct registration {
    const char *group, *ns;
    const char *network, *locality; /* "": not said */
    const json_t *labels;           /* an object of texts; NULL: none */
    struct ip ip;
    bool probed; /* its agent asks whether it is well, and tells */
};

/* "GROUP-IP", "GROUP-IP-NETWORK"; the last 253 characters of it. The caller's. */
char *registration_name(const struct registration *r);
/* The object, as the group has it now; a new reference. account: of who asks: -EACCES: the group is
 * for another one. */
int registration_entry(const struct registration *r, const json_t *group, struct str account,
                       json_t **ret, struct err *reterr) NODISCARD;

/* Its proxy is there, by that control plane, since then; or no more. Patches (RFC 7396) of the
 * object; new references. */
json_t *registration_connected(const char *controller, int64_t unix_us);
json_t *registration_disconnected(int64_t unix_us);
/* The list of conditions of an object with what is told of its health; a new reference. */
json_t *registration_health(const json_t *object, bool healthy, const char *message,
                            int64_t unix_us);
/* It is asked whether it is well, and has not said so. */
bool registration_is_unwell(const json_t *object);
/* It was registered, and its proxy has been gone since before then. */
bool registration_is_over(const json_t *object, int64_t unix_us);
