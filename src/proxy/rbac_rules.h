#pragma once
/* Who may do what (envoy.config.rbac.v3.RBAC): policies of permissions and principals, compiled,
 * and asked in the order of their names. */

#include <envoy/config/rbac/v3/rbac.pb-c.h>

#include "base/addr.h"
#include "base/arena.h"
#include "codec/http_head.h"
#include "codec/json.h"
#include "codec/pb_path.h"
#include "net/tls.h"

struct rbac_rules;

/* What is asked about. */
struct rbac_request {
    const struct http_head *head; /* NULL: of a connection */
    const json_t *metadata;       /* what filters before it say; NULL: nothing */
    struct str server_name;       /* what a ClientHello asked for; empty: nothing */
    struct ip client;             /* behind proxies that are believed */
    struct ip peer, local;
    struct tls_session *tls; /* NULL: it came in plain */
    uint16_t local_port;
};

/* path stands at the RBAC message. -EINVAL with the path of what is wrong, -ENOMEM. */
int rbac_rules_compile(const Envoy__Config__Rbac__V3__RBAC *m, struct arena *a,
                       struct pb_path *path, struct rbac_rules **ret, struct err *reterr) NODISCARD;
/* Does a rule ask for what only requests have? */
bool rbac_rules_need_head(const struct rbac_rules *r);
/* May it pass? What an action LOG matches is logged, and passes. *ret_policy: the name of the
 * policy that matched; .p NULL: none did. */
bool rbac_rules_allow(const struct rbac_rules *r, const struct rbac_request *q,
                      struct str *ret_policy);
