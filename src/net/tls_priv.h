#pragma once
/* What conn.c needs of tls.c: OpenSSL stays inside these two files and tls_cert.c. */

#include <openssl/ssl.h>

#include "net/tls.h"

struct tls_context {
    unsigned refs;
    SSL_CTX *ssl_ctx;
    bool server;
    bool insecure;
};

/* A session on fd, ready for SSL_do_handshake; NULL out of memory. */
SSL *tls_session_new(struct tls_context *c, int fd, const char *server_name);
/* The newest OpenSSL error of this thread, in words; clears the queue. */
const char *tls_error_text(void);
