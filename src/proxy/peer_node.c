#include "proxy/peer_node.h"

#include "proxy/metadata.h"

static void add(struct buf *b, struct str part)
{
    buf_add_str(b, part);
    buf_add_char(b, ';');
}

bool peer_node_read(const Envoy__Config__Core__V3__Node *n, struct ip *ret_ip, struct buf *ret_text)
{
    struct str rest, kind = str_cut(str_from(n && n->id ? n->id : ""), '~', &rest);
    if (!str_is(kind, "sidecar") || ip_parse(str_cut(rest, '~', &rest), ret_ip) < 0)
        return false;
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
