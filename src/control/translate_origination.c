/* TLS to endpoints that are not spoken to as of the mesh: what DestinationRules say with SIMPLE and
 * MUTUAL. Certificates are Secrets of this stream, or files of the proxy's, which it serves itself
 * under the names of Istio's agent. */
#include <stdio.h>

#include "control/translate_mesh.h"
#include "control/translate_priv.h"
#include "control/xds_fields.h"

#define TLS_TYPE "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"

enum {
    NAME_DNS = 2, /* SubjectAltNameMatcher.SanType */
    NAME_URI = 3,
    NAME_IP = 4,
    TLS_1_2 = 3, /* TlsParameters.TlsProtocol */
    TLS_1_3 = 4,
    FILES_WAIT_S = 1, /* they are read at once; what is not there is not waited for */
};

const char *translate_mesh_credential_name(const char *cluster, enum translate_secret_part part,
                                           char ret[MESH_CREDENTIAL_NAME_MAX])
{
    static const char *const parts[] = {"shown", "trusted"};
    snprintf(ret, MESH_CREDENTIAL_NAME_MAX, "%s/%s", cluster, parts[part]);
    return ret;
}

static void add_name(struct buf *b, unsigned kind, const char *name)
{
    size_t match = pb_begin(b, F_VALIDATION_NAMES), matcher;
    pb_add_uint(b, F_NAME_KIND, kind);
    matcher = pb_begin(b, F_NAME_MATCHER);
    pb_add_text(b, F_STRING_EXACT, name);
    pb_end(b, matcher);
    pb_end(b, match);
}

/* Istio compares with names of any kind. */
static void add_any_name(struct buf *b, const char *name)
{
    struct ip ip;
    if (strstr(name, "://"))
        add_name(b, NAME_URI, name);
    else if (ip_parse(str_from(name), &ip) == 0)
        add_name(b, NAME_IP, name);
    else
        add_name(b, NAME_DNS, name);
}

/* Those of the rule, else those of the ServiceEntry. */
static void add_names(struct buf *b, const struct mesh_cluster *c)
{
    const struct traffic_tls *t = &c->policy->tls;
    const json_t *names = c->entry ? c->entry->of->names : NULL;
    size_t at = pb_begin(b, F_COMBINED_DEFAULT);
    for (size_t i = 0; i < t->n_names; i++)
        add_any_name(b, t->names[i]);
    for (size_t i = 0; !t->n_names && i < json_array_size(names); i++)
        if (json_is_string(json_array_get(names, i)))
            add_any_name(b, json_string_value(json_array_get(names, i)));
    pb_end(b, at);
}

static void add_secret(struct buf *b, unsigned number, const char *cluster,
                       enum translate_secret_part part)
{
    char name[MESH_CREDENTIAL_NAME_MAX];
    translate_sds(b, number, translate_mesh_credential_name(cluster, part, name), false, 0);
}

static void add_shown(struct buf *b, const char *cluster, const struct traffic_tls *t)
{
    if (t->mode != TRAFFIC_TLS_MUTUAL)
        return;
    if (t->credential_name) {
        add_secret(b, F_COMMON_TLS_CERTIFICATE_SDS, cluster, TRANSLATE_SHOWN);
        return;
    }
    AUTO_CHARS char *name = xasprintf("file-cert:%s~%s", t->client_certificate, t->private_key);
    translate_sds(b, F_COMMON_TLS_CERTIFICATE_SDS, name, true, FILES_WAIT_S);
}

static void add_trusted(struct buf *b, const char *cluster, const struct mesh_cluster *c)
{
    const struct traffic_tls *t = &c->policy->tls;
    size_t combined;
    if (t->unverified)
        return;
    combined = pb_begin(b, F_COMMON_TLS_COMBINED);
    add_names(b, c);
    if (t->credential_name) {
        add_secret(b, F_COMBINED_SDS, cluster, TRANSLATE_TRUSTED);
    } else {
        AUTO_CHARS char *name =
            xasprintf("file-root:%s%s%s", t->ca_certificates ? t->ca_certificates : "system",
                      t->ca_crl ? "~" : "", t->ca_crl ? t->ca_crl : "");
        translate_sds(b, F_COMBINED_SDS, name, true, FILES_WAIT_S);
    }
    pb_end(b, combined);
}

void translate_origination(struct buf *b, const char *cluster, const struct mesh_cluster *c,
                           bool http2)
{
    const struct traffic_tls *t = &c->policy->tls;
    AUTO_DONE(buf) struct buf context = {0};
    size_t common = pb_begin(&context, F_UPSTREAM_TLS_COMMON),
           params = pb_begin(&context, F_COMMON_TLS_PARAMS);
    pb_add_uint(&context, F_TLS_PARAMS_MIN, TLS_1_2);
    pb_add_uint(&context, F_TLS_PARAMS_MAX, TLS_1_3);
    pb_end(&context, params);
    if (http2)
        pb_add_text(&context, F_COMMON_TLS_ALPN, "h2");
    add_shown(&context, cluster, t);
    add_trusted(&context, cluster, c);
    pb_end(&context, common);
    if (t->sni)
        pb_add_text(&context, F_UPSTREAM_TLS_SNI, t->sni);
    translate_socket(b, F_CLUSTER_TRANSPORT_SOCKET, c->policy->proxy_version,
                     "envoy.transport_sockets.tls", TLS_TYPE, buf_str(&context));
}
