/* Rules of RBAC and a request that they are asked about: two bytes of length, an RBAC message, a
 * request's head. What forbids by a policy is the opposite of what allows by the same.
 * fuzz-layer: proxy */
#include <errno.h>
#include <stdlib.h>

#include "codec/http1_head.h"
#include "proxy/rbac_rules.h"
#include "xds/xds_check.h"

enum { MEMORY_MAX = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool allows(Envoy__Config__Rbac__V3__RBAC *m, Envoy__Config__Rbac__V3__RBAC__Action action,
                   struct arena *a, const struct rbac_request *q, bool *ret)
{
    struct pb_path path = {.n = 0};
    struct err err = {0};
    struct rbac_rules *rules;
    struct str policy;
    m->action = action;
    int r = rbac_rules_compile(m, a, &path, &rules, &err);
    if (r == -EINVAL && !err.msg[0])
        abort();
    if (r < 0)
        return false;
    *ret = rbac_rules_allow(rules, q, &policy);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena) struct arena *a = arena_new(MEMORY_MAX);
    AUTO_DONE(xds_report) struct xds_report report = {0};
    struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head head = {.fields = fields, .cap = HTTP_FIELDS_MAX};
    struct rbac_request q = {.head = &head, .local_port = 80};
    ProtobufCMessage *m;
    bool allow, deny;
    size_t n = size < 2 ? 0 : (size_t)data[0] << 8 | data[1];
    if (size < 2 || n > size - 2 ||
        http1_read_request(str_of(data + 2 + n, size - 2 - n), &head, NULL) < 0 ||
        ip_parse(STR("10.1.2.3"), &q.peer) < 0 || ip_parse(STR("2001:db8::1"), &q.local) < 0)
        return 0;
    if (pb_unpack(&envoy__config__rbac__v3__rbac__descriptor, str_of(data + 2, n), a, &m, NULL) <
            0 ||
        xds_check(m, &report) < 0)
        return 0;
    Envoy__Config__Rbac__V3__RBAC *rbac = (Envoy__Config__Rbac__V3__RBAC *)m;
    if (allows(rbac, ENVOY__CONFIG__RBAC__V3__RBAC__ACTION__ALLOW, a, &q, &allow) &&
        allows(rbac, ENVOY__CONFIG__RBAC__V3__RBAC__ACTION__DENY, a, &q, &deny) && allow == deny)
        abort();
    return 0;
}
