#pragma once
/* TLS contexts, sessions and certificates, behind which OpenSSL can be exchanged. TLS 1.2 and newer
 * only. */

#include "base/addr.h"
#include "base/chain.h"
#include "base/err.h"
#include "base/vec.h"

struct tls_context; /* reference-counted, unchanging configuration shared by all threads */

enum {
    TLS_CERTIFICATES_MAX = 256, /* in one context */
    TLS_ALPN_MAX = 16,          /* names in one context */
    TLS_PEER_NAMES_MAX = 1000,  /* allowed names in one context */
    TLS_TICKET_KEYS_MAX = 16,
    TLS_TICKET_KEY_BYTES = 80,    /* 16 name, 32 HMAC, 32 AES */
    TLS_RESUME_SESSIONS_MAX = 64, /* that one client context keeps */
    TLS_RESUME_SESSION_BYTES_MAX = 64 * 1024
};

enum tls_name_kind { TLS_NAME_DNS, TLS_NAME_URI, TLS_NAME_IP, TLS_NAME_EMAIL, _TLS_NAME_KIND_MAX };

/* A subject alternative name. An IP is its text. */
struct tls_name {
    enum tls_name_kind kind;
    struct str value;
};

enum tls_match { TLS_MATCH_EXACT, TLS_MATCH_PREFIX, TLS_MATCH_SUFFIX, TLS_MATCH_CONTAINS };

/* DNS compares without case, and EXACT also takes a wildcard (of one label, the leftmost) in the
 * certificate; IP knows only EXACT; all others compare byte for byte. A name of the certificate
 * that holds a NUL byte never matches. */
struct tls_name_match {
    enum tls_name_kind kind;
    enum tls_match how;
    struct str value;
};

struct tls_certificate {
    struct str chain_pem; /* leaf first; what stands here is sent, nothing is added to it */
    struct str key_pem;
    const struct str *names; /* n_names; what it is chosen for; none: its DNS names, and the CN if
                                it has none */
    size_t n_names;
};

struct tls_ticket_keys;

struct tls_config {
    struct str cert_pem; /* own chain, leaf first; empty for a client without a certificate */
    struct str key_pem;
    /* A server's further certificates (cert_pem, if there is one, is the first). The client's SNI
     * chooses: exact name, then wildcard of one label, then the first. Those of the same name and
     * different key types stand beside each other: what the client can do decides. */
    const struct tls_certificate *certificates;
    size_t n_certificates;
    struct str ca_pem;      /* whom we trust; empty = the system's store (client) or ask for no
                               certificate (server) */
    bool require_peer_cert; /* server: refuse a client without one. Clients always verify unless
                               insecure. */
    /* Server: a client whose certificate does not verify, or who has none, gets in all the same:
     * tls_session_peer() says what it is worth. */
    bool accept_unverified;
    struct str crl_pem; /* of every CA of ca_pem; empty: nothing is looked up */
    bool has_verify_depth;
    uint32_t verify_depth; /* certificates between the peer's and a trusted one */
    bool insecure;         /* client: verify nothing (kubeconfig insecure-skip-tls-verify) */
    /* At least one must match a name of the peer's certificate, which must be verified. A client
     * then takes server_name for SNI only. */
    const struct tls_name_match *peer_names;
    size_t n_peer_names;
    const struct str *alpn; /* n_alpn; server: by preference; client: what it offers */
    size_t n_alpn;
    struct tls_ticket_keys *ticket_keys; /* server: it resumes; NULL: no tickets. Shared. */
    const char *min_version;             /* "1.2", "1.3"; NULL: 1.2 and 1.3 */
    const char *max_version;
    const char *ciphers;       /* of TLS 1.2, OpenSSL's names and ':'; NULL: OpenSSL's choice */
    const char *cipher_suites; /* of TLS 1.3 */
    const char *curves;        /* "X25519:P-256" */
};

/* What OpenSSL's configuration wants loaded is loaded now, not with the first context: before a
 * program gives up the right to load code (base/sandbox.h). */
void tls_load_config(void);

int tls_context_new_server(const struct tls_config *c, struct tls_context **ret, struct err *reterr)
    NODISCARD;
int tls_context_new_client(const struct tls_config *c, struct tls_context **ret, struct err *reterr)
    NODISCARD;
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c);

/* Keys of session tickets: the first encrypts, all decrypt. A context keeps those it was built
 * with; they are rotated by building another context. Tickets are good for two hours, in contexts
 * with the same CA bundle, peer names and demands. */
struct tls_ticket_keys *tls_ticket_keys_ref(struct tls_ticket_keys *k);
void tls_ticket_keys_unref(struct tls_ticket_keys *k); /* NULL is allowed */
/* A fresh key, and behind it at most `keep` of those of `before` (which may be NULL). */
int tls_ticket_keys_new_random(const struct tls_ticket_keys *before, size_t keep,
                               struct tls_ticket_keys **ret, struct err *reterr) NODISCARD;
/* Each of `keys` is TLS_TICKET_KEY_BYTES long; 1 to TLS_TICKET_KEYS_MAX of them. */
int tls_ticket_keys_new(const struct str *keys, size_t n, struct tls_ticket_keys **ret,
                        struct err *reterr) NODISCARD;

/* A session does no I/O: what came from the peer it takes out of one chain, what is to be sent it
 * appends to another. One thread at a time. */
struct tls_session;

struct tls_session_options {
    const char *server_name; /* client: SNI and the name (or IP) to verify; NULL: neither */
    const char *sni;         /* instead of server_name, for SNI */
    const char *verify_name; /* instead of server_name, for what is verified */
    const struct str *alpn;  /* client: n_alpn; offered instead of the context's; 0: those */
    size_t n_alpn;
    bool resume; /* client: resume the newest session of this context with the same names */
};

/* Holds a reference to the context. NULL: no memory, or a name that cannot be one (over 255). */
struct tls_session *tls_session_new(struct tls_context *c, const struct tls_session_options *o);
void tls_session_free(struct tls_session *s); /* NULL is allowed */
/* Both stay the caller's and must outlive the session. */
void tls_session_set_wires(struct tls_session *s, struct chain *in, struct chain *out);
/* 0: done; -EAGAIN: send what is in `out` and bring more; else negative, see tls_session_error. */
int tls_session_handshake(struct tls_session *s) NODISCARD;
/* Appends at most `max` decrypted bytes; how many. 0: the peer has said that it is finished;
 * -EAGAIN: nothing yet; -EPROTO. */
ssize_t tls_session_read(struct tls_session *s, struct chain *plain, size_t max) NODISCARD;
/* Takes at most one record's worth of plain bytes; how many. Negative: -EPROTO. */
ssize_t tls_session_write(struct tls_session *s, struct chain *plain) NODISCARD;
void tls_session_shutdown(struct tls_session *s); /* says that we are finished */
const char *tls_session_error(const struct tls_session *s);
/* Why the handshake has failed, as far as that has a name. */
enum tls_failure {
    TLS_FAILED,
    TLS_FAILED_NO_CERT, /* the client has none, and must */
    TLS_FAILED_CERT,    /* the peer's: of no trusted CA, or not valid */
    TLS_FAILED_NAME,    /* none of the names in the peer's is allowed */
};
enum tls_failure tls_session_failure(const struct tls_session *s);
/* After the handshake. */
struct str tls_session_alpn(const struct tls_session *s); /* empty: none was agreed on */
/* SNI: what the client asked for; empty: none. One with a NUL byte or over 255 bytes is refused in
 * the handshake. */
struct str tls_session_server_name(const struct tls_session *s);
bool tls_session_resumed(const struct tls_session *s);
bool tls_session_has_peer(const struct tls_session *s); /* the peer has presented a certificate */
const char *tls_session_version(const struct tls_session *s); /* "TLSv1.3" */
const char *tls_session_cipher(const struct tls_session *s);  /* "TLS_AES_256_GCM_SHA384" */

struct tls_peer {
    bool verified;                          /* its chain, and its name where one was asked for */
    const char *why;                        /* it is not: constant; NULL */
    VEC(struct str) dns, uris, emails, ips; /* alternative names; those with a NUL byte left out */
    struct str subject, issuer;             /* RFC 2253 */
    struct str serial, sha256;              /* hex; the fingerprint of the whole certificate */
    int64_t not_before_s, not_after_s;      /* Unix time */
};
/* After the handshake; NULL: the peer has presented no certificate. Made at the first call, lives
 * as long as the session. */
const struct tls_peer *tls_session_peer(struct tls_session *s);
/* What is told of each certificate of a context: those it trusts (at most TLS_LISTED_MAX; none
 * where that is the system's store) and its own leaves. Never a key. Any thread. */
typedef void tls_facts_fn(bool trusted, const struct tls_peer *facts, void *user);
void tls_context_each(struct tls_context *c, tls_facts_fn *fn, void *user);
enum { TLS_LISTED_MAX = 1000 };
/* The first URI among the alternative names of our own certificate; false: it has none. */
bool tls_session_own_uri(const struct tls_session *s, struct buf *ret);
/* The subject of our own certificate (RFC 2253); false: we have none. */
bool tls_session_own_subject(const struct tls_session *s, struct buf *ret);
/* Appends the peer's certificate; false: it has none. */
bool tls_session_peer_pem(const struct tls_session *s, struct buf *ret);
/* CN and O (a line each) of the subject of a verified certificate of the peer; false: it has none.
 */
bool tls_session_peer_subject(const struct tls_session *s, struct buf *ret_cn,
                              struct buf *ret_orgs_lines);

/* Certificate issuing, for the lab's CA (and later the mesh's). PEM text in buffers. */
struct tls_cert_request {
    const char *common_name;
    const char *const *organizations; /* n_organizations; Kubernetes groups */
    size_t n_organizations;
    const char *const *dns_names;
    size_t n_dns_names;
    const struct ip *ips;
    size_t n_ips;
    const struct tls_name *names; /* n_names; further alternative names, as they are */
    size_t n_names;
    bool is_ca;
    bool server; /* extended key usage */
    bool client;
    bool rsa; /* RSA 2048 instead of ECDSA P-256 */
    uint32_t days;
    int32_t starts_in_days; /* 0: valid from five minutes ago */
};
/* Self-signed when ca_* are empty. Appends to ret_cert_pem and ret_key_pem. */
int tls_cert_issue(const struct tls_cert_request *r, struct str ca_cert_pem, struct str ca_key_pem,
                   struct buf *ret_cert_pem, struct buf *ret_key_pem, struct err *reterr) NODISCARD;

/* ES256 signatures for service account tokens: raw 64-byte r||s as in JWS (RFC 7518 section 3.4).
 */
int tls_es256_sign(struct str key_pem, struct str message, uint8_t ret[64], struct err *reterr)
    NODISCARD;
/* x and y of the public point, and an id of the key (SHA-256 of its DER form). */
int tls_es256_public(struct str key_pem, uint8_t ret_point[64], uint8_t ret_id[32],
                     struct err *reterr) NODISCARD;
int tls_es256_verify(struct str key_or_cert_pem, struct str message, const uint8_t sig[64])
    NODISCARD;

/* Constant-time comparison of secrets. */
bool tls_secret_eq(struct str a, struct str b);
