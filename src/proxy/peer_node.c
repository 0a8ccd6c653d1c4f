#include "proxy/peer_node.h"

#include "proxy/metadata.h"

static void add(struct buf *b, struct str part)
{
    buf_add_str(b, part);
    buf_add_char(b, ';');
}

/* "NAME.NAMESPACE" as it stands in node.cluster. */
static void add_gateway(const Envoy__Config__Core__V3__Node *n, struct buf *b)
{
    struct str ns, name = str_cut(str_from(n->cluster ? n->cluster : ""), '.', &ns);
    ns = str_cut(ns, '.', &(struct str){NULL, 0});
    add(b, name);
    add(b, ns);
    add(b, name);
    add(b, STR("latest"));
    add(b, metadata_text(n->metadata, "CLUSTER_ID"));
    add(b, name);
    buf_add_cstr(b, "latest");
}

bool peer_node_read(const Envoy__Config__Core__V3__Node *n, struct ip *ret_ip, struct buf *ret_text,
                    bool *ret_sidecar)
{
    struct str rest, kind = str_cut(str_from(n && n->id ? n->id : ""), '~', &rest);
    *ret_sidecar = str_is(kind, "sidecar");
    if ((!*ret_sidecar && !str_is(kind, "router")) ||
        ip_parse(str_cut(rest, '~', &rest), ret_ip) < 0)
        return false;
    if (!*ret_sidecar && !metadata_text(n->metadata, "WORKLOAD_NAME").n) {
        add_gateway(n, ret_text);
        return true;
    }
    const Google__Protobuf__Struct *m = n->metadata;
    const Google__Protobuf__Value *v = metadata_value(m, "LABELS");
    const Google__Protobuf__Struct *labels =
        v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE ? v->struct_value : NULL;
    add(ret_text, metadata_text(m, "WORKLOAD_NAME"));
    add(ret_text, metadata_text(m, "NAMESPACE"));
    add(ret_text, metadata_text(labels, "service.istio.io/canonical-name"));
    add(ret_text, metadata_text(labels, "service.istio.io/canonical-revision"));
    add(ret_text, metadata_text(m, "CLUSTER_ID"));
    add(ret_text, metadata_text(labels, "app"));
    buf_add_str(ret_text, metadata_text(labels, "version"));
    return true;
}
