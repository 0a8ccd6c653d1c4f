#pragma once
/* What the files of TLS share: OpenSSL stays inside them. */

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "net/tls.h"

/* One of a server's certificates (tls_choose.c). */
struct tls_own {
    X509 *leaf;
    STACK_OF(X509) * chain; /* without the leaf */
    EVP_PKEY *key;
    VEC(char *) names; /* as they are compared */
};

struct tls_kept; /* a client's session that can be resumed (tls_resume.c) */

struct tls_resume {
    pthread_mutex_t lock; /* guards all below */
    struct tls_kept *v;   /* TLS_RESUME_SESSIONS_MAX, or NULL: none yet */
    size_t n;
    uint64_t clock;
};

enum { TLS_SHARE_DIGEST_BYTES = 32 };

struct tls_context {
    atomic_uint refs;
    struct tls_context *base; /* whose ssl_ctx and certificates it uses; NULL: its own */
    bool is_base;             /* others may find it (tls_share.c) */
    unsigned char digest[TLS_SHARE_DIGEST_BYTES];
    SSL_CTX *ssl_ctx;
    bool server;
    bool insecure;
    VEC(struct tls_own) own;
    VEC(struct tls_name_match) peer_names; /* values are owned */
    struct buf alpn;                       /* as on the wire */
    struct tls_ticket_keys *ticket_keys;
    struct tls_resume resume;
};

struct tls_session {
    SSL *ssl;
    struct tls_context *context;
    struct chain *in;
    struct chain *out;
    char *resume_key; /* NULL: sessions are not kept */
    struct tls_peer *peer;
    char *refused; /* why its names were not allowed */
    enum tls_failure failure;
    char error[160];
};

/* tls_error.c: the newest OpenSSL error of this thread, in words; clears the queue. */
const char *tls_error_text(void);
int tls_no_password(char *to, int max, int for_writing, void *data);

static inline struct str tls_asn1_str(const ASN1_STRING *s)
{
    return str_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* tls_choose.c: own certificates. `path` names the field in errors. */
int tls_own_load(struct tls_context *c, const struct tls_certificate *from, const char *path,
                 struct err *reterr) NODISCARD;
int tls_own_use(struct tls_context *c, struct err *reterr) NODISCARD; /* after the last load */
void tls_own_done(struct tls_own *own);

/* tls_peer.c */
int tls_peer_names_set(struct tls_context *c, const struct tls_config *o, struct err *reterr)
    NODISCARD;
void tls_peer_names_done(struct tls_context *c);
void tls_peer_free(struct tls_peer *p);
bool tls_dns_matches(struct str pattern, struct str name); /* pattern may begin with "*." */

/* tls_resume.c */
int tls_resume_set(struct tls_context *c, const struct tls_config *o, struct err *reterr) NODISCARD;
void tls_resume_done(struct tls_context *c);
/* Gives the session what was kept for its key. */
void tls_resume_offer(struct tls_session *s);
void tls_resume_shaken(struct tls_session *s); /* its handshake is done */

/* tls_share.c: contexts of clients that are one to OpenSSL. */
bool tls_share_digest(const struct tls_config *o, unsigned char ret[TLS_SHARE_DIGEST_BYTES]);
struct tls_context *tls_share_find(const unsigned char *digest); /* a reference; NULL: none */
void tls_share_add(struct tls_context *c, const unsigned char *digest);
bool tls_share_unref(struct tls_context *c); /* of a base; true: it was the last */

/* tls_options.c: versions, ciphers, curves, ALPN. */
int tls_options_set(struct tls_context *c, const struct tls_config *o, struct err *reterr)
    NODISCARD;

/* tls_cert.c: PEM and certificates. NULL: it cannot be read. */
void tls_bio_to_buf(BIO *bio, struct buf *ret);
EVP_PKEY *tls_read_key(struct str pem);
X509 *tls_read_cert(struct str pem);
bool tls_add_extension(X509 *cert, X509 *issuer, int nid, const char *value);
bool tls_set_serial(X509 *cert); /* a random one */
