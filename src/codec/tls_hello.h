#pragma once
/* What a TLS client says first (ClientHello, RFC 8446 section 4.1.2), read without taking part: the
 * name it asks for and the protocols it speaks. */

#include <stdint.h>

#include "base/str.h"

enum {
    TLS_HELLO_BYTES_MAX = 16 * 1024, /* of the message, without the heads of its records */
};

struct tls_hello {
    struct str server_name; /* as it was sent; empty: none */
    struct str protocols;   /* see tls_hello_next_protocol; empty: none */
};

/* bytes: from the connection's first on. 1: read; the strings lie in `room`. 0: more is needed.
 * -EPROTO: not TLS. -EBADMSG: it begins as TLS and is malformed. -E2BIG: longer than the limit. */
int tls_hello_read(struct str bytes, char room[TLS_HELLO_BYTES_MAX], struct tls_hello *ret)
    NODISCARD;
/* The next name of the list, which gets shorter; .p NULL: no more. */
struct str tls_hello_next_protocol(struct str *list);
