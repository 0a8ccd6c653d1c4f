#pragma once
/* Files of users and hashes of their passwords, as Apache's htpasswd writes them: "NAME:HASH" a
 * line. Only what can be checked in bounded time is taken. */

#include "base/str.h"

enum htpasswd_kind {
    HTPASSWD_SHA,   /* {SHA}, base64 */
    HTPASSWD_SSHA,  /* {SSHA}: the digest and its salt */
    HTPASSWD_PLAIN, /* {PLAIN} */
    HTPASSWD_APR1,  /* $apr1$: Apache's MD5 */
    HTPASSWD_CRYPT, /* crypt(3): DES, $1$, $2a$ $2b$ $2y$ (bcrypt), $5$, $6$ */
};

enum {
    HTPASSWD_BCRYPT_COST_MAX = 12,    /* a quarter of a second */
    HTPASSWD_SHA_ROUNDS_MAX = 100000, /* of $5$ and $6$ */
    HTPASSWD_HASH_MAX = 256,          /* bytes */
    HTPASSWD_NAME_MAX = 255,
};

struct htpasswd_line {
    unsigned number; /* from 1 */
    struct str name;
    struct str hash; /* with what says its kind */
    enum htpasswd_kind kind;
    const char *why; /* NULL: usable; else why not: it never repeats what stands there */
};

/* for (struct str rest = text; htpasswd_next(&rest, &line);), line zeroed before: empty lines and
 * those that begin with # are left out. Borrows. */
bool htpasswd_next(struct str *rest, struct htpasswd_line *line);
/* Does it take longer to check than a request should take of a thread that has others? */
static inline bool htpasswd_is_slow(enum htpasswd_kind kind)
{
    return kind == HTPASSWD_APR1 || kind == HTPASSWD_CRYPT;
}
