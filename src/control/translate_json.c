/* Parts of resources that are few, so made as JSON and read by the protobuf mapping. */
#include "base/assert.h"
#include "codec/base64.h"
#include "codec/pb_json.h"
#include "control/translate_priv.h"

struct xds_entry *translate_json(enum xds_resource type, const char *name, const json_t *j)
{
    AUTO(arena) struct arena *a = arena_new(0);
    AUTO_DONE(buf) struct buf b = {0};
    struct err err = {0};
    ProtobufCMessage *m;
    if (pb_json_parse(j, xds_resource_type(type)->message, &xds_json_types, a, &m, NULL, &err) < 0)
        assert_fail(err_text(&err), __FILE__, __LINE__, __func__);
    if (pb_pack(m, &b) < 0)
        assert_fail("a resource is too long", __FILE__, __LINE__, __func__);
    return xds_entry_new(type, str_from(name), buf_str(&b), STR(""));
}

json_t *translate_bytes(struct str pem)
{
    AUTO_DONE(buf) struct buf text = {0};
    base64_encode(pem, &text);
    return json_pack("{s:s}", "inline_bytes", buf_cstr(&text));
}

json_t *translate_typed(const char *type, json_t *fields)
{
    AUTO_CHARS char *url = xasprintf(XDS_TYPE_PREFIX "%s", type);
    json_object_set_new(fields, "@type", json_string(url));
    return fields;
}

json_t *translate_ads_json(void)
{
    return json_pack("{s:{},s:s}", "ads", "resource_api_version", "V3");
}

json_t *translate_http_filter(const char *name, const char *type)
{
    return json_pack("{s:s,s:o}", "name", name, "typed_config",
                     translate_typed(type, json_object()));
}

json_t *translate_tcp_proxy(const char *stat_prefix, const char *cluster)
{
    json_t *proxy = translate_typed("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                                    json_pack("{s:s,s:s,s:s}", "stat_prefix", stat_prefix,
                                              "cluster", cluster, "idle_timeout", "600s"));
    return json_pack("{s:s,s:o}", "name", "envoy.filters.network.tcp_proxy", "typed_config", proxy);
}
