/* Secrets: few, so made as JSON. */
#include <stdio.h>

#include "control/translate_priv.h"

struct xds_entry *translate_secret(const char *name, struct str chain_pem, struct str key_pem)
{
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:{s:o,s:o}}", "name", name, "tls_certificate", "certificate_chain",
                  translate_bytes(chain_pem), "private_key", translate_bytes(key_pem));
    return translate_json(XDS_SECRET, name, j);
}

const char *translate_secret_name(const char *key, enum translate_secret_part part,
                                  char ret[CLUSTER_NAME_MAX])
{
    static const char *const parts[] = {"shown", "trusted"};
    snprintf(ret, CLUSTER_NAME_MAX, "kubernetes://%s/%s", key, parts[part]);
    return ret;
}

static json_t *trusted(const struct auth_secret *s)
{
    json_t *v = json_pack("{s:o}", "trusted_ca", translate_bytes(str_from(s->ca)));
    if (*s->crl)
        json_object_set_new(v, "crl", translate_bytes(str_from(s->crl)));
    return json_pack("{s:o}", "validation_context", v);
}

struct xds_entry *translate_secret_of(const char *key, enum translate_secret_part part,
                                      const struct auth_secret *s)
{
    char name[CLUSTER_NAME_MAX];
    return translate_secret_named(translate_secret_name(key, part, name), part, s);
}

struct xds_entry *translate_secret_named(const char *name, enum translate_secret_part part,
                                         const struct auth_secret *s)
{
    if (!*(part == TRANSLATE_SHOWN ? s->cert : s->ca))
        return NULL;
    if (part == TRANSLATE_SHOWN)
        return translate_secret(name, str_from(s->cert), str_from(s->key));
    AUTO_JSON json_t *j = trusted(s);
    json_object_set_new(j, "name", json_string(name));
    return translate_json(XDS_SECRET, name, j);
}
