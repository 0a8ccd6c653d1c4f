#pragma once
/* Readers of the annotations proxy-ssl-* (as in ingress_readers.h), and what follows from all of
 * them together. */

#include "model/ingress_readers.h"

ingress_reader read_proxy_ssl_secret, read_proxy_ssl_verify, read_proxy_ssl_verify_depth;
ingress_reader read_proxy_ssl_name, read_proxy_ssl_server_name, read_proxy_ssl_protocols;
ingress_reader read_proxy_ssl_ciphers;
/* When all have been read: none of them counts unless endpoints are spoken to over TLS. */
void ingress_backend_tls_finish(struct ingress_policy *p, const struct ingress_object *i,
                                struct findings *f);
