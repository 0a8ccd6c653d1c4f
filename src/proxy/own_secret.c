/* Packed as they come by xDS, so that the store knows one form alone. */
#include "proxy/own_secret.h"

#include <envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h>
#include <stdio.h>

#include "base/log.h"
#include "codec/pb_msg.h"

typedef Envoy__Extensions__TransportSockets__Tls__V3__Secret pb_secret;
typedef Envoy__Config__Core__V3__DataSource pb_data;

static pb_data data_of(const struct buf *b)
{
    pb_data d;
    envoy__config__core__v3__data_source__init(&d);
    d.specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
    d.inline_bytes = (ProtobufCBinaryData){b->n, (uint8_t *)(uintptr_t)b->p};
    return d;
}

static bool give(struct store *s, pb_secret *m, unsigned serial)
{
    AUTO_DONE(buf) struct buf bytes = {0};
    AUTO_DONE(buf) struct buf refused = {0};
    char version[24];
    snprintf(version, sizeof(version), "%u", serial);
    if (pb_pack(&m->base, &bytes) < 0)
        return false;
    struct xds_item item = {
        .name = str_from(m->name), .version = str_from(version), .bytes = buf_str(&bytes)};
    const struct xds_update u = {.type = XDS_SECRET, .items = &item, .n_items = 1};
    store_update(s, &u, &refused);
    if (refused.n)
        log_error("a secret of the proxy's own is refused", kv_s("name", m->name),
                  kv_str("error", buf_str(&refused)));
    xds_items_done(&item, 0);
    explicit_bzero(bytes.p, bytes.size);
    return !refused.n;
}

bool own_secret_give_certificate(struct store *s, const char *name, unsigned version,
                                 const struct buf *chain_pem, const struct buf *key_pem)
{
    Envoy__Extensions__TransportSockets__Tls__V3__TlsCertificate c;
    pb_data chain = data_of(chain_pem), key = data_of(key_pem);
    pb_secret m;
    envoy__extensions__transport_sockets__tls__v3__tls_certificate__init(&c);
    envoy__extensions__transport_sockets__tls__v3__secret__init(&m);
    c.certificate_chain = &chain;
    c.private_key = &key;
    m.name = (char *)(uintptr_t)name;
    m.type_case = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_TLS_CERTIFICATE;
    m.tls_certificate = &c;
    return give(s, &m, version);
}

bool own_secret_give_trust(struct store *s, const char *name, unsigned version,
                           const struct buf *pem, const struct buf *crl_pem)
{
    Envoy__Extensions__TransportSockets__Tls__V3__CertificateValidationContext v;
    pb_data trusted = data_of(pem), crl = data_of(crl_pem);
    pb_secret m;
    envoy__extensions__transport_sockets__tls__v3__certificate_validation_context__init(&v);
    envoy__extensions__transport_sockets__tls__v3__secret__init(&m);
    v.trusted_ca = &trusted;
    v.crl = crl_pem->n ? &crl : NULL;
    m.name = (char *)(uintptr_t)name;
    m.type_case = ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_VALIDATION_CONTEXT;
    m.validation_context = &v;
    return give(s, &m, version);
}
