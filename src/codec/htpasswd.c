#include "codec/htpasswd.h"

#include <ctype.h>

#include "base/buf.h"
#include "codec/base64.h"
#include "codec/sha1.h"

static const char damaged[] = "its hash is damaged";

/* The alphabet of crypt(3). */
static bool is_crypt_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '.' && s.p[i] != '/')
            return false;
    return true;
}

/* SALT$HASH, the hash of n characters. */
static bool is_salted(struct str s, size_t salt_max, size_t n)
{
    struct str hash, salt = str_cut(s, '$', &hash);
    return salt.n <= salt_max && hash.p && hash.n == n && is_crypt_text(salt) &&
           is_crypt_text(hash);
}

static const char *check_digest(struct str base64, bool salted)
{
    AUTO_DONE(buf) struct buf digest = {0};
    bool ok = base64_decode(base64, &digest) == 0 &&
              (salted ? digest.n > SHA1_BYTES : digest.n == SHA1_BYTES);
    return ok ? NULL : damaged;
}

/* Behind "$2y$". */
static const char *check_bcrypt(struct str s)
{
    struct str hash, cost = str_cut(s, '$', &hash);
    uint64_t n;
    if (cost.n != 2 || str_to_u64(cost, &n) < 0 || n < 4 || hash.n != 53 || !is_crypt_text(hash))
        return damaged;
    return n > HTPASSWD_BCRYPT_COST_MAX ? "its bcrypt cost is above 12" : NULL;
}

/* Behind "$5$" or "$6$". */
static const char *check_sha_crypt(struct str s, size_t n)
{
    static const struct str intro = STR("rounds=");
    struct str rest;
    uint64_t rounds;
    if (str_starts(s, intro)) {
        struct str number = str_cut(str_sub(s, intro.n, s.n), '$', &rest);
        if (str_to_u64(number, &rounds) < 0 || !rest.p)
            return damaged;
        if (rounds > HTPASSWD_SHA_ROUNDS_MAX)
            return "it has more than 100000 rounds";
        s = rest;
    }
    return is_salted(s, 16, n) ? NULL : damaged;
}

static bool take(struct str *s, struct str intro)
{
    bool is = str_starts(*s, intro);
    if (is)
        *s = str_sub(*s, intro.n, s->n);
    return is;
}

/* NULL: usable, and *ret is its kind. */
static const char *check_hash(struct str s, enum htpasswd_kind *ret)
{
    if (s.n > HTPASSWD_HASH_MAX)
        return "its hash is too long";
    *ret = HTPASSWD_SHA;
    if (take(&s, STR("{SHA}")))
        return check_digest(s, false);
    *ret = HTPASSWD_SSHA;
    if (take(&s, STR("{SSHA}")))
        return check_digest(s, true);
    *ret = HTPASSWD_PLAIN;
    if (take(&s, STR("{PLAIN}")))
        return NULL;
    *ret = HTPASSWD_APR1;
    if (take(&s, STR("$apr1$")))
        return is_salted(s, 8, 22) ? NULL : damaged;
    *ret = HTPASSWD_CRYPT;
    if (take(&s, STR("$2y$")) || take(&s, STR("$2a$")) || take(&s, STR("$2b$")))
        return check_bcrypt(s);
    if (take(&s, STR("$1$")))
        return is_salted(s, 8, 22) ? NULL : damaged;
    if (take(&s, STR("$5$")))
        return check_sha_crypt(s, 43);
    if (take(&s, STR("$6$")))
        return check_sha_crypt(s, 86);
    if (s.n == 13 && is_crypt_text(s))
        return NULL;
    return "its hash is of no kind that is known: bcrypt (htpasswd -B), apr1, {SHA}, {SSHA}, $5$, "
           "$6$, $1$, DES";
}

static void read_line(struct str text, struct htpasswd_line *line)
{
    struct str rest, further;
    line->name = str_cut(text, ':', &rest);
    line->hash = rest;
    line->why = NULL;
    if (!line->name.n || line->name.n > HTPASSWD_NAME_MAX || !rest.p || !rest.n) {
        line->why = "it is not NAME:HASH";
        return;
    }
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f)
            line->why = "it has control characters";
    if (!str_starts(rest, STR("{PLAIN}")))
        line->hash = str_cut(rest, ':', &further); /* a comment may follow */
    if (!line->why)
        line->why = check_hash(line->hash, &line->kind);
}

bool htpasswd_next(struct str *rest, struct htpasswd_line *line)
{
    while (rest->p) {
        struct str text = str_cut(*rest, '\n', rest);
        line->number++;
        if (text.n && text.p[text.n - 1] == '\r')
            text.n--;
        if (!text.n || *text.p == '#')
            continue;
        read_line(text, line);
        return true;
    }
    return false;
}
